//! The tree of RFC 9162 against the reference vectors of Certificate Transparency.

use proptest::prelude::*;
use salus_crypto::Digest;
use salus_crypto::merkle::{
    ConsistencyProof, InclusionProof, LeafHash, ProofImpossible, ProofRefused, prove_consistency,
    prove_inclusion, root,
};

/// Entries, roots and proofs of `merkle_tree_test.cc` in google/certificate-transparency
/// (Apache-2.0).
const ENTRIES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
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

const N_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const N_23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const N_4567: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const N_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const N_67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const N_45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

/// Index, size, path.
const INCLUSION: [(usize, usize, &[&str]); 5] = [
    (0, 1, &[]),
    (0, 8, &[N_1, N_23, N_4567]),
    (5, 8, &[N_4, N_67, ROOTS[4]]),
    (2, 3, &[ROOTS[2]]),
    (1, 5, &[ROOTS[1], N_23, N_4]),
];

/// Earlier size, size, path.
const CONSISTENCY: [(usize, usize, &[&str]); 4] = [
    (1, 1, &[]),
    (1, 8, &[N_1, N_23, N_4567]),
    (6, 8, &[N_45, N_67, ROOTS[4]]),
    (2, 5, &[N_23, N_4]),
];

fn leaves(n: usize) -> Vec<LeafHash> {
    ENTRIES.iter().take(n).map(|e| LeafHash::of(&hex::decode(e).unwrap())).collect()
}

fn texts(path: &[Digest]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

#[test]
fn roots_and_proofs_are_those_of_the_reference() {
    for (n, expected) in ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves(n)).to_string(), *expected, "size {n}");
    }
    for (index, size, path) in INCLUSION {
        let leaves = leaves(size);
        let proof = prove_inclusion(&leaves, index).unwrap();
        assert_eq!(texts(&proof.path), path, "entry {index} of {size}");
        assert_eq!(proof.verify(leaves[index], root(&leaves)), Ok(()));
    }
    for (earlier, size, path) in CONSISTENCY {
        let leaves = leaves(size);
        let proof = prove_consistency(&leaves, earlier).unwrap();
        assert_eq!(texts(&proof.path), path, "{earlier} to {size}");
        assert_eq!(proof.verify(root(&leaves[..earlier]), root(&leaves)), Ok(()));
    }
}

#[test]
fn what_cannot_be_proved_is_refused() {
    let three = leaves(3);
    assert_eq!(prove_inclusion(&three, 3), Err(ProofImpossible::NoSuchEntry { index: 3, size: 3 }));
    for earlier in [0, 4] {
        assert_eq!(
            prove_consistency(&three, earlier),
            Err(ProofImpossible::NoSuchEarlierTree { earlier, size: 3 })
        );
    }
    let none = InclusionProof { index: 0, size: 0, path: vec![] };
    assert_eq!(none.verify(three[0], root(&[])), Err(ProofRefused));
    let none = ConsistencyProof { earlier: 0, size: 3, path: vec![] };
    assert_eq!(none.verify(root(&[]), root(&three)), Err(ProofRefused));
    // An inner node does not pass as an entry.
    let pair = [three[0].digest(), three[1].digest()].map(|d| *d.as_bytes()).concat();
    assert_ne!(LeafHash::of(&pair).digest(), root(&three[..2]));
}

fn many(n: usize) -> Vec<LeafHash> {
    (0..n).map(|i| LeafHash::of(&i.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn every_proof_holds_and_every_change_is_refused(n in 1usize..150, a in 0usize..150, b in 0usize..150, bit in 0usize..256) {
        let leaves = many(n);
        let (whole, index, earlier) = (root(&leaves), a % n, b % n + 1);
        let flip = |d: Digest| {
            let mut bytes = *d.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Digest::from_bytes(bytes)
        };

        let proof = prove_inclusion(&leaves, index).unwrap();
        prop_assert_eq!(proof.verify(leaves[index], whole), Ok(()));
        prop_assert_eq!(proof.verify(leaves[index], flip(whole)), Err(ProofRefused));
        let other = (index + 1) % n;
        if other != index {
            prop_assert_eq!(proof.verify(leaves[other], whole), Err(ProofRefused));
        }
        for at in 0..proof.path.len() {
            let mut changed = proof.clone();
            changed.path[at] = flip(changed.path[at]);
            prop_assert_eq!(changed.verify(leaves[index], whole), Err(ProofRefused));
            let mut cut = proof.clone();
            cut.path.remove(at);
            prop_assert_eq!(cut.verify(leaves[index], whole), Err(ProofRefused));
        }
        let mut longer = proof.clone();
        longer.path.push(whole);
        prop_assert_eq!(longer.verify(leaves[index], whole), Err(ProofRefused));

        let old = root(&leaves[..earlier]);
        let proof = prove_consistency(&leaves, earlier).unwrap();
        prop_assert_eq!(proof.verify(old, whole), Ok(()));
        prop_assert_eq!(proof.verify(flip(old), whole), Err(ProofRefused));
        prop_assert_eq!(proof.verify(old, flip(whole)), Err(ProofRefused));
        for at in 0..proof.path.len() {
            let mut changed = proof.clone();
            changed.path[at] = flip(changed.path[at]);
            prop_assert_eq!(changed.verify(old, whole), Err(ProofRefused));
        }
        let mut longer = proof;
        longer.path.push(whole);
        prop_assert_eq!(longer.verify(old, whole), Err(ProofRefused));
    }
}
