use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::slot::Slot;
use super::{StateError, StateStore};
use crate::cbor;

type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The state as a block sees it: committed values, then the block's, then the transaction's.
pub(crate) struct View<'s> {
    store: &'s dyn StateStore,
    block: Writes,
    transaction: Writes,
}

impl<'s> View<'s> {
    pub(crate) fn new(store: &'s dyn StateStore) -> Self {
        Self { store, block: Writes::new(), transaction: Writes::new() }
    }

    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        slot: &Slot<T>,
    ) -> Result<Option<T>, StateError> {
        let key = slot.key();
        let pending = self.transaction.get(key).or_else(|| self.block.get(key));
        let bytes = match pending {
            Some(written) => written.clone(),
            None => self.store.value(key)?,
        };
        bytes.map(|bytes| slot.decode(&bytes)).transpose()
    }

    pub(crate) fn holds<T: DeserializeOwned>(&self, slot: &Slot<T>) -> Result<bool, StateError> {
        Ok(self.read(slot)?.is_some())
    }

    pub(crate) fn write<T: Serialize>(
        &mut self,
        slot: &Slot<T>,
        value: &T,
    ) -> Result<(), StateError> {
        let bytes = cbor::encode(value)
            .map_err(|source| StateError::Damaged { slot: slot.kind(), source })?;
        self.transaction.insert(slot.key().to_vec(), Some(bytes));
        Ok(())
    }

    pub(crate) fn delete<T>(&mut self, slot: &Slot<T>) {
        self.transaction.insert(slot.key().to_vec(), None);
    }

    pub(crate) fn delete_raw(&mut self, key: Vec<u8>) {
        self.transaction.insert(key, None);
    }

    pub(crate) const fn store(&self) -> &'s dyn StateStore {
        self.store
    }

    /// The transaction's writes become the block's.
    pub(crate) fn keep(&mut self) {
        self.block.append(&mut self.transaction);
    }

    /// The transaction's writes are forgotten.
    pub(crate) fn discard(&mut self) {
        self.transaction.clear();
    }

    pub(crate) fn into_writes(self) -> Writes {
        self.block
    }
}
