//! The Merkle tree of RFC 6962, section 2.1: roots as leaves stream by, and paths that prove one leaf.
//!
//! Leaves and inner nodes are hashed with different first bytes, so that none passes for the other. Memory
//! of the streaming root is one hash a level.

use crate::digest::Sha256;

/// A node or leaf hash.
pub type Node = [u8; 32];

/// A root in the making.
#[derive(Clone, Debug, Default)]
pub struct Merkle {
    /// Roots of whole subtrees, larger ones first; one for each bit of `leaves`.
    subtrees: Vec<Node>,
    leaves: u64,
}

impl Merkle {
    /// One more leaf.
    pub fn push(&mut self, data: &[u8]) {
        let mut node = leaf(data);
        for _ in 0..self.leaves.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            node = inner(&left, &node);
        }
        self.subtrees.push(node);
        self.leaves += 1;
    }

    /// How many leaves there were.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Node {
        let folded = self.subtrees.iter().rev().copied().reduce(|right, left| inner(&left, &right));
        folded.unwrap_or_else(|| Sha256::new().finish())
    }
}

/// The nodes that, with leaf `index`, make the root; none when there is no such leaf.
pub fn path(leaves: &[impl AsRef<[u8]>], index: usize) -> Option<Vec<Node>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut part, mut at) = (leaves, index);
    while part.len() > 1 {
        let (left, right) = part.split_at(part.len().next_power_of_two() / 2);
        if at < left.len() {
            path.push(root_of(right));
            part = left;
        } else {
            path.push(root_of(left));
            at -= left.len();
            part = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The root that a path leads to from leaf `index` of `size`; none when the path does not fit these.
pub fn climb(data: &[u8], index: u64, size: u64, path: &[Node]) -> Option<Node> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf(data));
    for beside in path {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            node = inner(beside, &node);
            while at.is_multiple_of(2) && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            node = inner(&node, beside);
        }
        at /= 2;
        last /= 2;
    }
    (last == 0).then_some(node)
}

fn root_of(leaves: &[impl AsRef<[u8]>]) -> Node {
    let mut tree = Merkle::default();
    for data in leaves {
        tree.push(data.as_ref());
    }
    tree.root()
}

fn leaf(data: &[u8]) -> Node {
    let mut sum = Sha256::new();
    sum.update(&[0]);
    sum.update(data);
    sum.finish()
}

fn inner(left: &Node, right: &Node) -> Node {
    let mut sum = Sha256::new();
    sum.update(&[1]);
    sum.update(left);
    sum.update(right);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    /// Leaves and roots that other implementations of RFC 6962 are tested with.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_the_standard() {
        let mut tree = Merkle::default();
        assert_eq!(hex(&tree.root()), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            tree.push(leaf);
            assert_eq!(hex(&tree.root()), *root);
        }
        assert_eq!(tree.leaves(), 8);
    }

    #[test]
    fn every_leaf_can_be_proved_and_no_other() {
        for size in 1..=40_usize {
            let leaves: Vec<[u8; 2]> = (0..size).map(|n| [u8::try_from(n).unwrap(), 7]).collect();
            let root = root_of(&leaves);
            for index in 0..size {
                let path = path(&leaves, index).unwrap();
                let climb = |leaf: &[u8], index: usize, path: &[Node]| {
                    super::climb(leaf, index as u64, size as u64, path)
                };
                assert_eq!(climb(&leaves[index], index, &path), Some(root), "{index} of {size}");
                assert_ne!(climb(b"other", index, &path), Some(root));
                assert_ne!(climb(&leaves[index], (index + 1) % (size + 1), &path), Some(root));
                assert_eq!(climb(&leaves[index], index, &[&path[..], &[root]].concat()), None);
            }
            assert_eq!(path(&leaves, size), None);
        }
    }
}
