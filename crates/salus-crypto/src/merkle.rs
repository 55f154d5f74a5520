//! Merkle trees with proofs that an entry is in, and that a later tree extends an earlier one.
//!
//! # Source
//! RFC 9162, section 2.1 (the same tree as RFC 6962). The recursion follows the definitions there;
//! the verifiers follow 2.1.3.2 and 2.1.4.2.
//!
//! A proof does not authenticate the tree's size by itself: take size and root together from what
//! was signed.

use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};

use crate::{Digest, DigestHasher};

/// The hash of one entry, told apart from inner nodes by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeafHash(Digest);

impl LeafHash {
    /// The leaf hash of an entry's bytes.
    #[must_use]
    pub fn of(entry: &[u8]) -> Self {
        let mut hasher = DigestHasher::new();
        hasher.update(&[0]);
        hasher.update(entry);
        Self(hasher.finish())
    }

    /// The hash itself, which is also the root of a tree with this one entry.
    #[must_use]
    pub const fn digest(self) -> Digest {
        self.0
    }
}

fn node(left: Digest, right: Digest) -> Digest {
    let mut hasher = DigestHasher::new();
    hasher.update(&[1]);
    hasher.update(left.as_bytes());
    hasher.update(right.as_bytes());
    hasher.finish()
}

/// The largest power of two below `n`, for `n` of at least 2.
const fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// The root over the entries' leaf hashes in order; the empty tree's is the digest of nothing.
///
/// # Cost
/// One hash per leaf; no allocation.
#[must_use]
pub fn root(leaves: &[LeafHash]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [leaf] => leaf.0,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(root(left), root(right))
        }
    }
}

/// A proof cannot be made, because the tree has no such entry or earlier size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofImpossible {
    /// The tree is too small.
    #[error("there is no entry {index} in a tree of {size} (entries count from 0)")]
    NoSuchEntry {
        /// The entry that was asked for.
        index: usize,
        /// How many entries there are.
        size: usize,
    },
    /// The earlier size is zero or larger than the tree.
    #[error("a tree of {size} entries does not extend one of {earlier}")]
    NoSuchEarlierTree {
        /// The earlier size that was asked for.
        earlier: usize,
        /// How many entries there are.
        size: usize,
    },
}

impl Classified for ProofImpossible {
    fn class(&self) -> Class {
        Class::BadRequest
    }
}

/// A proof that does not lead from what is claimed to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Merkle proof does not lead to this root")]
pub struct ProofRefused;

impl Classified for ProofRefused {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// A proof that an entry stands at an index of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Where the entry stands, counted from 0.
    pub index: u64,
    /// How many entries the tree has.
    pub size: u64,
    /// The siblings from the leaf up to the root.
    pub path: Vec<Digest>,
}

/// Proves that entry `index` is in the tree over `leaves`.
///
/// # Errors
/// When there is no such entry.
///
/// # Cost
/// One hash per leaf.
pub fn prove_inclusion(
    leaves: &[LeafHash],
    index: usize,
) -> Result<InclusionProof, ProofImpossible> {
    fn descend(leaves: &[LeafHash], index: usize, path: &mut Vec<Digest>) {
        if leaves.len() < 2 {
            return;
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            descend(left, index, path);
            path.push(root(right));
        } else {
            descend(right, index - left.len(), path);
            path.push(root(left));
        }
    }
    if index >= leaves.len() {
        return Err(ProofImpossible::NoSuchEntry { index, size: leaves.len() });
    }
    let mut path = Vec::new();
    descend(leaves, index, &mut path);
    Ok(InclusionProof { index: index as u64, size: leaves.len() as u64, path })
}

impl InclusionProof {
    /// Accepts when the path leads from `leaf` to `root`.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, leaf: LeafHash, root: Digest) -> Result<(), ProofRefused> {
        if self.index >= self.size {
            return Err(ProofRefused);
        }
        let (mut at, mut last, mut hash) = (self.index, self.size - 1, leaf.0);
        for &sibling in &self.path {
            if last == 0 {
                return Err(ProofRefused);
            }
            if at & 1 == 1 || at == last {
                hash = node(sibling, hash);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node(hash, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        if last == 0 && hash == root { Ok(()) } else { Err(ProofRefused) }
    }
}

/// A proof that a tree extends an earlier one: the same entries first, nothing changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// How many entries the earlier tree has.
    pub earlier: u64,
    /// How many entries the later tree has.
    pub size: u64,
    /// The nodes that lead to both roots.
    pub path: Vec<Digest>,
}

/// Proves that the tree over `leaves` extends its own first `earlier` entries.
///
/// # Errors
/// When `earlier` is zero or larger than the tree.
///
/// # Cost
/// One hash per leaf.
pub fn prove_consistency(
    leaves: &[LeafHash],
    earlier: usize,
) -> Result<ConsistencyProof, ProofImpossible> {
    fn descend(leaves: &[LeafHash], earlier: usize, whole: bool, path: &mut Vec<Digest>) {
        if earlier == leaves.len() {
            if !whole {
                path.push(root(leaves));
            }
            return;
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if earlier <= left.len() {
            descend(left, earlier, whole, path);
            path.push(root(right));
        } else {
            descend(right, earlier - left.len(), false, path);
            path.push(root(left));
        }
    }
    if earlier == 0 || earlier > leaves.len() {
        return Err(ProofImpossible::NoSuchEarlierTree { earlier, size: leaves.len() });
    }
    let mut path = Vec::new();
    descend(leaves, earlier, true, &mut path);
    Ok(ConsistencyProof { earlier: earlier as u64, size: leaves.len() as u64, path })
}

impl ConsistencyProof {
    /// Accepts when the path leads to the earlier root and to the later one.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, earlier_root: Digest, root: Digest) -> Result<(), ProofRefused> {
        let refuse_unless = |holds: bool| if holds { Ok(()) } else { Err(ProofRefused) };
        if self.earlier == 0 || self.earlier > self.size {
            return Err(ProofRefused);
        }
        if self.earlier == self.size {
            return refuse_unless(self.path.is_empty() && earlier_root == root);
        }
        let mut path = self.path.iter().copied();
        // A whole earlier subtree is its own first node, which the proof leaves out.
        let start = if self.earlier.is_power_of_two() {
            earlier_root
        } else {
            path.next().ok_or(ProofRefused)?
        };
        let (mut at, mut last) = (self.earlier - 1, self.size - 1);
        while at & 1 == 1 {
            at >>= 1;
            last >>= 1;
        }
        let (mut old, mut new) = (start, start);
        for sibling in path {
            if last == 0 {
                return Err(ProofRefused);
            }
            if at & 1 == 1 || at == last {
                old = node(sibling, old);
                new = node(sibling, new);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                new = node(new, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        refuse_unless(last == 0 && old == earlier_root && new == root)
    }
}
