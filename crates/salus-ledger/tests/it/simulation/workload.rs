use std::sync::OnceLock;

use salus_ledger::call::{
    CommitReservation, IssueFunds, RecordRelease, RedeemFunds, ReleaseRule, Reserve, Reserved,
};
use salus_ledger::{Commitment, DatasetRef, Money};
use salus_model::PermitId;

use crate::ca::signer;
use crate::world::{ANNA, CHARITE, HUB, UNI, World, bounded, dataset, hash, member, release, used};

/// Numbers that only the seed decides (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Neighbouring seeds must not give the same numbers shifted by one, so they are hashed.
    pub(super) fn new(seed: u64) -> Self {
        let hash = hash(&format!("dice {seed}"));
        Self(u64::from_be_bytes(hash[..8].try_into().unwrap()))
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A ledger on which there is something to do, shared by all runs.
#[derive(Clone)]
pub(super) struct Prelude {
    pub(super) world: World,
    datasets: [DatasetRef; 2],
    permit: PermitId,
}

impl Prelude {
    /// A copy of the one that is made once.
    pub(super) fn shared() -> Self {
        static FIRST: OnceLock<Prelude> = OnceLock::new();
        FIRST.get_or_init(Self::new).clone()
    }

    fn new() -> Self {
        let mut world = World::new();
        let datasets = [dataset(ANNA, "observations"), dataset(CHARITE, "signals")];
        for data in &datasets {
            world.register(data, 1_000, ReleaseRule::DpOnly);
        }
        let terms = world.terms(&[(&datasets[0], 800), (&datasets[1], 1_000)]);
        let permit = world.permit("ada", terms);
        Self { world, datasets, permit }
    }

    /// A few transactions that belong together, signed and in bytes.
    pub(super) fn transactions(&mut self, dice: &mut Dice) -> Vec<Vec<u8>> {
        let which = usize::from(dice.chance(50));
        let data = self.datasets[which].clone();
        let holder = signer([ANNA, CHARITE][which]);
        let amount = 1 + dice.below(300);
        let released = release("ada", &self.permit, vec![used(&data, bounded(amount))]);
        let now = self.world.now;
        let signed = match dice.below(4) {
            0 | 1 => {
                vec![self.world.signed(RecordRelease { release: released }, &[&holder])]
            }
            2 => {
                let reserve = Reserve {
                    permit: self.permit.clone(),
                    amounts: vec![Reserved {
                        dataset: data,
                        charge: bounded(amount + dice.below(100)),
                    }],
                    expires: now.saturating_add_micros(60_000_000),
                };
                let reserve = self.world.signed(reserve, &[&holder]);
                let job = reserve.id().job().unwrap();
                let commit = CommitReservation { job, release: released };
                let commit = self.world.signed(commit, &[&holder]);
                vec![reserve, commit]
            }
            _ => {
                let reference = Commitment::new(hash(&format!("payment {amount}")));
                let (to, amount) = (member(UNI), Money::new(amount));
                let issue = IssueFunds { to: to.clone(), amount, reference };
                let issue = self.world.signed(issue, &[&signer(HUB)]);
                let redeem = RedeemFunds { from: to, amount, reference };
                let redeem = self.world.signed(redeem, &[&signer(HUB), &signer(UNI)]);
                vec![issue, redeem]
            }
        };
        signed.into_iter().map(|tx| tx.as_bytes().to_vec()).collect()
    }
}
