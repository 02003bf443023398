//! The pages that each policy takes from each node.

use frames::policy::{NodePolicy, NodeSet};
use proptest::prelude::*;

fn shares(policy: NodePolicy, wanted: u64, available: &[u64], near: &[usize]) -> (u64, Vec<u64>) {
    let mut shares = vec![99; available.len()];
    let sum = policy.share(wanted, available, near.iter().copied(), &mut shares);
    (sum, shares)
}

#[test]
fn local_takes_the_nearest_first() {
    let near = [2, 1, 0];
    assert_eq!(shares(NodePolicy::Local, 12, &[10, 3, 5], &near), (12, vec![4, 3, 5]));
    assert_eq!(shares(NodePolicy::Preferred(2), 4, &[10, 3, 5], &near), (4, vec![0, 0, 4]));
    assert_eq!(shares(NodePolicy::Local, 100, &[10, 3, 5], &near), (18, vec![10, 3, 5]));
}

#[test]
fn bind_takes_from_no_other_node() {
    let bind = NodePolicy::Bind(NodeSet(0b101));
    assert_eq!(shares(bind, 12, &[10, 30, 5], &[1, 2, 0]), (12, vec![7, 0, 5]));
    assert_eq!(shares(bind, 20, &[10, 30, 5], &[1, 2, 0]), (15, vec![10, 0, 5]));
    assert_eq!(shares(NodePolicy::Bind(NodeSet(1 << 9)), 1, &[10], &[0]), (0, vec![0]));
}

#[test]
fn interleave_takes_evenly() {
    let all = NodePolicy::Interleave(NodeSet::ALL);
    assert_eq!(shares(all, 10, &[10, 10, 10], &[0, 1, 2]), (10, vec![4, 3, 3]));
    assert_eq!(shares(all, 10, &[10, 1, 10], &[0, 1, 2]), (10, vec![5, 1, 4]));
    let two = NodePolicy::Interleave(NodeSet(0b110));
    assert_eq!(shares(two, 9, &[10, 2, 10], &[0, 1, 2]), (9, vec![0, 2, 7]));
}

proptest! {
    #[test]
    fn shares_are_possible_and_add_up(
        available in prop::collection::vec(0..50_u64, 1..8),
        wanted in 0..300_u64,
        set in any::<u64>(),
        which in 0..4,
        start in 0..8_usize,
    ) {
        let policy = match which {
            0 => NodePolicy::Local,
            1 => NodePolicy::Preferred(start),
            2 => NodePolicy::Interleave(NodeSet(set)),
            _ => NodePolicy::Bind(NodeSet(set)),
        };
        let is_strict = which >= 2;
        let near: Vec<usize> = (0..available.len()).map(|step| (start + step) % available.len()).collect();
        let (sum, shares) = shares(policy, wanted, &available, &near);
        let allowed = |node: usize| !is_strict || NodeSet(set).contains(node);
        let total: u64 = (0..available.len()).filter(|node| allowed(*node)).map(|node| available[node]).sum();
        prop_assert_eq!(sum, wanted.min(total));
        prop_assert_eq!(shares.iter().sum::<u64>(), sum);
        for node in 0..available.len() {
            prop_assert!(shares[node] <= available[node] && (allowed(node) || shares[node] == 0));
        }
        if which == 2 {
            // A node with pages left gave as many as any other, or one less: the last round gives one page each.
            let most = shares.iter().max().copied().unwrap_or(0);
            let fair = (0..available.len()).filter(|node| allowed(*node) && shares[*node] < available[*node]);
            for node in fair {
                prop_assert!(shares[node] + 1 >= most);
            }
        }
    }
}
