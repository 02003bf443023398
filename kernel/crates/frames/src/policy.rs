//! Node policies: how many pages come from which memory node.

/// Nodes that a [`NodeSet`] can hold.
pub const POLICY_NODES: usize = 64;

/// A set of node numbers below [`POLICY_NODES`], one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSet(pub u64);

impl NodeSet {
    /// All nodes.
    pub const ALL: Self = Self(u64::MAX);

    /// Returns whether `node` is in the set.
    #[must_use]
    pub const fn contains(self, node: usize) -> bool {
        node < POLICY_NODES && self.0 & (1 << node) != 0
    }
}

/// From which nodes to take pages, as in Linux's memory policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePolicy {
    /// From the caller's node; what it lacks, from the nearest others.
    Local,
    /// From this node; what it lacks, from the nearest others.
    Preferred(usize),
    /// The same number from each of these nodes; what one lacks, from the rest of
    /// them.
    Interleave(NodeSet),
    /// From these nodes and no others, the nearest to the caller first.
    Bind(NodeSet),
}

impl NodePolicy {
    /// Divides `wanted` pages among nodes that have `available` pages, by node.
    /// Writes the number to take from each node to `shares`, which is as long.
    /// Returns the sum: `wanted`, or all that the policy allows.
    ///
    /// `near` lists all nodes, the nearest to the caller first; for
    /// [`Preferred`](Self::Preferred), the nearest to that node first.
    pub fn share(
        self,
        wanted: u64,
        available: &[u64],
        near: impl IntoIterator<Item = usize>,
        shares: &mut [u64],
    ) -> u64 {
        shares.fill(0);
        match self {
            Self::Local | Self::Preferred(_) => take_in_order(wanted, available, near, shares),
            Self::Bind(nodes) => {
                let allowed = near.into_iter().filter(|node| nodes.contains(*node));
                take_in_order(wanted, available, allowed, shares)
            }
            Self::Interleave(nodes) => take_evenly(wanted, available, nodes, shares),
        }
    }
}

fn take_in_order(
    wanted: u64,
    available: &[u64],
    nodes: impl IntoIterator<Item = usize>,
    shares: &mut [u64],
) -> u64 {
    let mut missing = wanted;
    for node in nodes {
        if let (Some(share), Some(available)) = (shares.get_mut(node), available.get(node)) {
            let more = missing.min(available - *share);
            *share += more;
            missing -= more;
        }
    }
    wanted - missing
}

/// Gives each node that has more the same number, until `wanted` is reached or no
/// node has any.
fn take_evenly(wanted: u64, available: &[u64], nodes: NodeSet, shares: &mut [u64]) -> u64 {
    let mut missing = wanted;
    loop {
        let has_more =
            |node: &usize, shares: &[u64]| nodes.contains(*node) && shares[*node] < available[*node];
        let count = (0..available.len()).filter(|node| has_more(node, shares)).count() as u64;
        if missing == 0 || count == 0 {
            return wanted - missing;
        }
        // The last round: one each, from the lowest node on.
        let each = (missing / count).max(1);
        for node in 0..available.len() {
            if has_more(&node, shares) {
                let more = each.min(missing).min(available[node] - shares[node]);
                shares[node] += more;
                missing -= more;
            }
        }
    }
}
