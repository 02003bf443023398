//! The value of `huge.policy`.

/// Limit of the node numbers that a policy can name.
pub const MAX_NODES: usize = 64;

/// A policy as written: the nodes that pages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenPolicy {
    /// `local`
    Local,
    /// `preferred:NODE`
    Preferred(usize),
    /// `interleave`, over all nodes, or `interleave:NODE,...`: a bit for each.
    Interleave(u64),
    /// `bind:NODE,...`: a bit for each.
    Bind(u64),
}

/// Parses a policy; `None` if `text` is not one.
#[must_use]
pub fn parse(text: &str) -> Option<WrittenPolicy> {
    let (kind, nodes) = match text.split_once(':') {
        Some((kind, nodes)) => (kind, Some(nodes)),
        None => (text, None),
    };
    match (kind, nodes) {
        ("local", None) => Some(WrittenPolicy::Local),
        ("preferred", Some(node)) => Some(WrittenPolicy::Preferred(parse_node(node)?)),
        ("interleave", None) => Some(WrittenPolicy::Interleave(u64::MAX)),
        ("interleave", Some(nodes)) => Some(WrittenPolicy::Interleave(parse_nodes(nodes)?)),
        ("bind", Some(nodes)) => Some(WrittenPolicy::Bind(parse_nodes(nodes)?)),
        _ => None,
    }
}

fn parse_nodes(list: &str) -> Option<u64> {
    list.split(',').try_fold(0, |set, node| Some(set | 1 << parse_node(node)?))
}

fn parse_node(text: &str) -> Option<usize> {
    text.parse().ok().filter(|node| *node < MAX_NODES)
}
