use std::collections::BTreeMap;

use borsh::BorshDeserialize as _;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, Version};
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{MemoryStore, StateChanges, StateError, StateStore};
use crate::words::{Height, Opaque, StateRoot};

const NODE: u8 = b's';

/// The nodes as the tree's library reads them, and the one value that a proof needs.
struct Nodes<'s> {
    store: &'s dyn StateStore,
    answer: Option<(KeyHash, Vec<u8>)>,
}

fn node_key_bytes(key: &NodeKey) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![NODE];
    borsh::to_writer(&mut bytes, key)?;
    Ok(bytes)
}

impl TreeReader for Nodes<'_> {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let bytes = self.store.node(&node_key_bytes(node_key)?)?;
        Ok(bytes.map(|bytes| Node::try_from_slice(&bytes)).transpose()?)
    }

    fn get_value_option(
        &self,
        _max_version: Version,
        key_hash: KeyHash,
    ) -> anyhow::Result<Option<OwnedValue>> {
        Ok(self.answer.as_ref().filter(|(key, _)| *key == key_hash).map(|(_, v)| v.clone()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

fn broken(error: &anyhow::Error) -> StateError {
    StateError::Tree { reason: error.to_string().chars().take(160).collect() }
}

fn tree_key(key: &[u8]) -> KeyHash {
    KeyHash::with::<Sha256>(key)
}

/// The changes of a block as values and as nodes, with the root after it.
pub(crate) fn update(
    store: &dyn StateStore,
    height: Height,
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> Result<StateChanges, StateError> {
    let reader = Nodes { store, answer: None };
    let tree = JellyfishMerkleTree::<_, Sha256>::new(&reader);
    let leaves = values.iter().map(|(key, value)| (tree_key(key), value.clone()));
    let (root, batch) = tree.put_value_set(leaves, height.get()).map_err(|e| broken(&e))?;
    let mut nodes = BTreeMap::new();
    for (key, node) in batch.node_batch.nodes() {
        let bytes = borsh::to_vec(node).map_err(|e| broken(&e.into()))?;
        nodes.insert(node_key_bytes(key).map_err(|e| broken(&e))?, bytes);
    }
    let mut stale = Vec::new();
    for index in &batch.stale_node_index_batch {
        stale.push(node_key_bytes(&index.node_key).map_err(|e| broken(&e))?);
    }
    Ok(StateChanges { values, nodes, stale, root: StateRoot::new(root.0) })
}

/// A whole state as it was after `height`, built from its values alone. The root depends on the
/// values only; the nodes are those of a tree that began empty just before.
pub(crate) fn rebuild(
    height: Height,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<StateChanges, StateError> {
    let mut base = MemoryStore::new();
    if let Some(before) = height.get().checked_sub(1) {
        // The library keeps its constructor of root keys to itself: a version and an empty path.
        let root = [before.to_le_bytes().as_slice(), &[0; 12]].concat();
        let root = NodeKey::try_from_slice(&root).map_err(|e| broken(&e.into()))?;
        let null = borsh::to_vec(&Node::Null).map_err(|e| broken(&e.into()))?;
        base.put_node(node_key_bytes(&root).map_err(|e| broken(&e))?, null);
    }
    let values = values.into_iter().map(|(key, value)| (key, Some(value))).collect();
    let mut changes = update(&base, height, values)?;
    changes.stale.clear();
    Ok(changes)
}

/// The root of the state at the last committed block.
///
/// # Errors
/// When the store cannot answer, or holds no state of that height.
pub fn root(store: &dyn StateStore, height: Height) -> Result<StateRoot, StateError> {
    let reader = Nodes { store, answer: None };
    let tree = JellyfishMerkleTree::<_, Sha256>::new(&reader);
    tree.get_root_hash(height.get()).map(|root| StateRoot::new(root.0)).map_err(|e| broken(&e))
}

/// A proof that a key has a value in the state, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    key: Opaque,
    value: Option<Opaque>,
    path: Opaque,
}

/// A proof that does not lead to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state proof does not lead to this root")]
pub struct StateProofError;

impl Classified for StateProofError {
    fn class(&self) -> Class {
        Class::Peer
    }
}

/// Proves what the state says at `key` after the last committed block, `height`.
///
/// # Errors
/// When the store cannot answer.
pub fn prove(store: &dyn StateStore, height: Height, key: &[u8]) -> Result<StateProof, StateError> {
    let value = store.value(key)?;
    let answer = value.clone().map(|value| (tree_key(key), value));
    let reader = Nodes { store, answer };
    let tree = JellyfishMerkleTree::<_, Sha256>::new(&reader);
    let (_, proof) = tree.get_with_proof(tree_key(key), height.get()).map_err(|e| broken(&e))?;
    let path = borsh::to_vec(&proof).map_err(|e| broken(&e.into()))?;
    Ok(StateProof {
        key: Opaque::new(key.to_vec()),
        value: value.map(Opaque::new),
        path: Opaque::new(path),
    })
}

impl StateProof {
    /// The key that the proof is about.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// The value, or none where the proof shows that there is none, once the proof leads to
    /// `root`.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, root: &StateRoot) -> Result<Option<&[u8]>, StateProofError> {
        let proof = jmt::proof::SparseMerkleProof::<Sha256>::try_from_slice(self.path.as_bytes())
            .map_err(|_| StateProofError)?;
        let value = self.value.as_ref().map(Opaque::as_bytes);
        proof
            .verify(RootHash(*root.as_bytes()), tree_key(self.key.as_bytes()), value)
            .map_err(|_| StateProofError)?;
        Ok(value)
    }
}
