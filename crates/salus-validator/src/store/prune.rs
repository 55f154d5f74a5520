use redb::ReadableTable as _;
use salus_ledger::Height;

use super::tables::BODIES;
use super::{Store, StoreError, failed};

/// What a pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many blocks lost their transactions.
    pub blocks: u64,
}

impl Store {
    /// Drops the transactions of all blocks below `height`. Headers, certificates, entries and the
    /// history tree stay: whatever was proved stays provable, and whoever holds a transaction can
    /// still show that it is the one.
    ///
    /// # Errors
    /// When the disk fails; the store is frozen then.
    pub fn prune_below(&mut self, height: Height) -> Result<Pruned, StoreError> {
        let task = "prune old blocks";
        let end = height.get().min(self.view().tip().height.get());
        let blocks = self.write(task, |write| {
            let mut bodies = write.open_table(BODIES).map_err(failed(task))?;
            let mut old = Vec::new();
            for found in bodies.range(..end).map_err(failed(task))? {
                old.push(found.map_err(failed(task))?.0.value());
            }
            for height in &old {
                bodies.remove(*height).map_err(failed(task))?;
            }
            Ok(old.len() as u64)
        })?;
        self.refresh()?;
        Ok(Pruned { blocks })
    }
}
