//! A small network: a hub, two hospitals, a university, a worker and four validators.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salus_ledger::block::{
    BlockHeader, Certificate, Executed, Outcome, Vote, VoteCollector, execute,
};
use salus_ledger::call::{
    AdmitMember, ApplyForPermit, AttestationRef, BindKey, Call, DatasetUse, DeltaExponent,
    GrantPermit, Ground, PermitTerms, RegisterDataset, Release, ReleaseRule, SetMemberRoles,
};
use salus_ledger::config::{ConfigForm, Limits, PlatformConfig, Validator};
use salus_ledger::contract::Contract;
use salus_ledger::genesis::{Genesis, NetworkKind};
use salus_ledger::policy::{Expression, Policy, Role};
use salus_ledger::query;
use salus_ledger::state::MemoryStore;
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{
    CodeHash, Column, Commitment, DatasetRef, Height, LedgerId, Nonce, Opaque, PublicKey,
    ResultHash, Signer, TxId,
};
use salus_model::{
    DatasetId, DatasetVersion, MemberId, MicroRho, PermitId, PrivacyCharge, Purpose, Timestamp,
};

use super::ca::{Authority, seed, signer};

pub const HUB: &str = "hub";
pub const ANNA: &str = "st-anna";
pub const CHARITE: &str = "charite";
pub const UNI: &str = "uni";
pub const WORKER: &str = "worker";
pub const VALIDATORS: [&str; 4] = ["val-1", "val-2", "val-3", "val-4"];
pub const DAY_MICROS: i64 = 86_400_000_000;

pub fn member(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn hash(name: &str) -> [u8; 32] {
    seed(name)
}

pub fn dataset(holder: &str, name: &str) -> DatasetRef {
    DatasetRef { holder: member(holder), dataset: DatasetId::new(name).unwrap() }
}

pub fn columns(names: &[&str]) -> BTreeSet<Column> {
    names.iter().map(|name| Column::new(*name).unwrap()).collect()
}

pub fn bounded(micro: u64) -> PrivacyCharge {
    PrivacyCharge::Bounded(MicroRho::new(micro))
}

pub fn roles_of(name: &str) -> &'static [Role] {
    match name {
        HUB => &[Role::Administrator, Role::Officer, Role::Treasurer],
        ANNA | CHARITE => &[Role::Holder, Role::Administrator],
        UNI => &[Role::Research],
        WORKER => &[Role::Worker],
        _ => &[Role::Validator],
    }
}

pub fn governance() -> Policy {
    Policy::new(Expression::Quorum { k: 2, role: Role::Administrator }).unwrap()
}

pub fn config_form(authority: &Authority, validators: &[&str]) -> ConfigForm {
    ConfigForm {
        version: 0,
        roots: vec![authority.der.clone()],
        validators: validators
            .iter()
            .map(|name| Validator { member: member(name), key: signer(name).public_key() })
            .collect(),
        governance: governance(),
        policies: BTreeMap::new(),
        limits: Limits {
            block_bytes: 256 * 1024,
            block_transactions: 500,
            lifetime_blocks: 100,
            clock_skew_micros: 5_000_000,
        },
        review: None,
    }
}

pub fn genesis(authority: &Authority, nonce: u8, validators: &[&str]) -> Genesis {
    let names = [HUB, ANNA, CHARITE, UNI, WORKER].into_iter().chain(validators.iter().copied());
    let members = names
        .map(|name| {
            let id = member(name);
            let keys = vec![authority.member_key(&id, name, roles_of(name))];
            AdmitMember { member: id, roles: roles_of(name).iter().copied().collect(), keys }
        })
        .collect();
    Genesis {
        nonce: Nonce::new([nonce; 16]),
        kind: NetworkKind::Demonstration,
        time: at("2026-03-01T00:00:00Z"),
        config: PlatformConfig::new(config_form(authority, validators)).unwrap(),
        members,
        contracts: BTreeMap::new(),
    }
}

/// The same ledger where it begins by the newest rules, as those do that are founded now.
pub fn newest(genesis: Genesis) -> Genesis {
    Genesis { contracts: Contract::newest_rules(), ..genesis }
}

/// One honest node's view of the ledger, which makes its own blocks.
#[derive(Clone)]
pub struct World {
    pub authority: Arc<Authority>,
    pub ledger: LedgerId,
    pub store: MemoryStore,
    pub headers: Vec<BlockHeader>,
    pub now: Timestamp,
    counter: u64,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(|genesis| genesis)
    }

    pub fn with(change: impl FnOnce(Genesis) -> Genesis) -> Self {
        let authority = Authority::new("Dev CA");
        let genesis = change(genesis(&authority, 1, &VALIDATORS));
        let founded = genesis.found().unwrap();
        let mut store = MemoryStore::new();
        store.commit(&founded.changes);
        Self {
            authority: Arc::new(authority),
            ledger: founded.ledger,
            store,
            headers: vec![founded.block.header],
            now: genesis.time,
            counter: 0,
        }
    }

    pub fn tip(&self) -> &BlockHeader {
        self.headers.last().unwrap()
    }

    pub fn next_nonce(&mut self) -> Nonce {
        self.counter += 1;
        Nonce::new(seed(&format!("nonce {}", self.counter))[..16].try_into().unwrap())
    }

    pub fn transaction(&mut self, call: impl Into<Call>) -> Transaction {
        let last = self.tip().height.after(50);
        let nonce = self.next_nonce();
        Transaction::new(self.ledger, nonce, last, call)
    }

    pub fn signed(&mut self, call: impl Into<Call>, signers: &[&Signer]) -> SignedTransaction {
        let draft = self.transaction(call).draft().unwrap();
        signers.iter().fold(draft, |draft, signer| draft.sign(signer)).finish().unwrap()
    }

    /// Makes a block of these transactions, one second later.
    pub fn block(&mut self, transactions: &[SignedTransaction]) -> Executed {
        self.now = self.now.saturating_add_micros(1_000_000);
        let bytes = transactions.iter().map(|tx| Opaque::new(tx.as_bytes().to_vec())).collect();
        let executed = execute(&self.store, self.tip(), self.now, bytes).unwrap();
        self.store.commit(&executed.changes);
        self.headers.push(executed.block.header.clone());
        executed
    }

    /// Runs one call in a block of its own.
    pub fn run(&mut self, call: impl Into<Call>, signers: &[&str]) -> (TxId, Outcome) {
        let keys: Vec<_> = signers.iter().map(|name| signer(name)).collect();
        let tx = self.signed(call, &keys.iter().collect::<Vec<_>>());
        let executed = self.block(std::slice::from_ref(&tx));
        (tx.id(), executed.entries[0].outcome.clone())
    }

    #[track_caller]
    pub fn applied(&mut self, call: impl Into<Call>, signers: &[&str]) -> TxId {
        let (id, outcome) = self.run(call, signers);
        assert_eq!(outcome, Outcome::Applied);
        id
    }

    #[track_caller]
    pub fn refused(&mut self, call: impl Into<Call>, signers: &[&str], rule: &str) {
        assert_eq!(rule_of(&self.run(call, signers).1), rule);
    }

    pub fn pass_days(&mut self, days: i64) {
        self.now = self.now.saturating_add_micros(days * DAY_MICROS);
    }

    pub fn register(&mut self, dataset: &DatasetRef, budget: u64, releases: ReleaseRule) {
        let call = RegisterDataset {
            dataset: dataset.clone(),
            budget: MicroRho::new(budget),
            delta: DeltaExponent::new(6).unwrap(),
            releases,
            commitment: Commitment::new(hash("version 1")),
        };
        let holder = dataset.holder.as_str().to_owned();
        self.applied(call, &[&holder]);
    }

    pub fn terms(&self, grounds: &[(&DatasetRef, u64)]) -> PermitTerms {
        PermitTerms {
            grounds: grounds
                .iter()
                .map(|(dataset, budget)| Ground {
                    dataset: (*dataset).clone(),
                    columns: columns(&["sex", "birth_year", "code"]),
                    budget: MicroRho::new(*budget),
                })
                .collect(),
            purpose: Purpose::Research,
            code: None,
            releases: ReleaseRule::GateAllowed,
            expires: at("2026-12-01T00:00:00Z"),
        }
    }

    /// Binds one more key to a member, whose roles grow by what the key may do.
    pub fn bind(&mut self, name: &str, key: &str, roles: &[Role]) {
        let id = member(name);
        let mut all = query::member(&self.store, &id).unwrap().unwrap().roles;
        all.extend(roles);
        self.applied(SetMemberRoles { member: id.clone(), roles: all }, &[HUB, ANNA]);
        let key = self.authority.member_key(&id, key, roles);
        self.applied(BindKey { member: id, key }, &[HUB, ANNA]);
    }

    /// A granted permit for the person whose key is named.
    pub fn permit(&mut self, person: &str, terms: PermitTerms) -> PermitId {
        let call = ApplyForPermit { pseudonym: signer(person).public_key(), terms };
        let permit = self.applied(call, &[UNI, person]).permit().unwrap();
        self.applied(GrantPermit { permit: permit.clone() }, &[HUB]);
        permit
    }
}

pub fn rule_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Applied => "applied",
        Outcome::Refused(rule) => rule.as_str(),
    }
}

pub fn used(dataset: &DatasetRef, charge: PrivacyCharge) -> DatasetUse {
    DatasetUse {
        dataset: dataset.clone(),
        version: DatasetVersion::FIRST,
        columns: columns(&["sex", "code"]),
        optout_epoch: 0,
        charge,
    }
}

pub fn release(person: &str, permit: &PermitId, uses: Vec<DatasetUse>) -> Release {
    Release {
        actor: signer(person).public_key(),
        permit: permit.clone(),
        uses,
        code: CodeHash::new(hash("code")),
        input: Commitment::new(hash("input")),
        result: ResultHash::new(hash("result")),
        attestation: AttestationRef::Premises,
        gate: None,
        review: None,
    }
}

/// The certificate that the named validators give a block.
pub fn certify(header: &BlockHeader, validators: &[&str], voters: &[&str]) -> Certificate {
    let keys: BTreeSet<PublicKey> =
        validators.iter().map(|name| signer(name).public_key()).collect();
    let mut collector = VoteCollector::new(header.ledger, header.height, keys);
    let hash = header.hash().unwrap();
    let votes =
        voters.iter().map(|name| Vote::cast(&signer(name), &header.ledger, header.height, hash));
    votes.filter_map(|vote| collector.add(vote).unwrap()).last().expect("enough voters")
}

pub fn height(number: u64) -> Height {
    Height::new(number)
}
