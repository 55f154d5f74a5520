//! A development network with members that do things.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::call::{
    ApplyForPermit, AttestationRef, Call, DatasetUse, DeltaExponent, GrantPermit, Ground,
    IssueFunds, PermitTerms, RecordRelease, RegisterDataset, Release, ReleaseRule,
};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::transaction::{SignedTransaction, Transaction};
use salus_ledger::{
    CodeHash, Column, Commitment, DatasetRef, Height, LedgerId, Money, Nonce, ResultHash, Signer,
    TxId,
};
use salus_model::{
    DatasetId, DatasetVersion, MemberId, MicroRho, PermitId, PrivacyCharge, Purpose, Secret,
    Timestamp,
};
use salus_validator::client::LedgerClient;
use salus_validator::dev::DevNetwork;
use salus_validator::explorer::client::ExplorerClient;
use salus_validator::{ExplorerConfig, Folder};

pub(crate) const PASSPHRASE: &str = "only the tests know this one";

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new(Secret::new(PASSPHRASE.to_owned())).unwrap()
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

pub(crate) fn member(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// A network laid out in a folder that goes with it.
pub(crate) struct Stage {
    pub(crate) network: DevNetwork,
    pub(crate) folders: Vec<Folder>,
    pub(crate) ledger: LedgerId,
    next: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new(validators: usize) -> Self {
        let members: &[(&str, &[Role])] = &[
            ("hub", &[Role::Administrator, Role::Officer, Role::Treasurer]),
            ("st-anna", &[Role::Holder]),
            ("uni", &[Role::Research]),
        ];
        let governance = Policy::role(Role::Administrator);
        let network = DevNetwork::new(validators, members, governance, now()).unwrap();
        Self::with(network)
    }

    pub(crate) fn with(network: DevNetwork) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cost = GuessCost::OWASP_MINIMUM;
        let folders = network.lay_out(folder.path(), &passphrase(), cost).unwrap();
        let ledger = network.genesis.ledger_id().unwrap();
        Self { network, folders, ledger, next: AtomicU64::new(0), _folder: folder }
    }

    /// Has every validator keep an explorer, with a console on a port of its own choice.
    pub(crate) fn explored(self) -> Self {
        let console = Some("127.0.0.1:0".parse().unwrap());
        for folder in &self.folders {
            let mut config = folder.config().unwrap();
            config.explorer = Some(ExplorerConfig { console });
            folder.set_config(&config).unwrap();
        }
        self
    }

    /// Reads the explorer of the first validator.
    pub(crate) fn explorer(&self, name: &str) -> ExplorerClient {
        let identity = &self.network.members[name];
        ExplorerClient::new(&self.urls()[0], &self.network.genesis, identity).unwrap()
    }

    pub(crate) fn signer(&self, name: &str) -> Signer {
        self.network.members[name].signer()
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        let url = |folder: &Folder| format!("https://{}", folder.config().unwrap().api);
        self.folders.iter().map(url).collect()
    }

    pub(crate) fn client(&self, name: &str) -> LedgerClient {
        let identity = &self.network.members[name];
        LedgerClient::new(&self.urls(), &self.network.genesis, identity).unwrap()
    }

    pub(crate) fn signed(&self, call: impl Into<Call>, signers: &[&Signer]) -> SignedTransaction {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let tx = Transaction::new(self.ledger, Nonce::new(nonce), Height::new(9_000), call);
        let draft = tx.draft().unwrap();
        signers.iter().fold(draft, |draft, signer| draft.sign(signer)).finish().unwrap()
    }

    /// Books one unit for the university.
    pub(crate) fn issue(&self) -> SignedTransaction {
        let reference = Commitment::new([1; 32]);
        let call = IssueFunds { to: member("uni"), amount: Money::new(1), reference };
        self.signed(call, &[&self.signer("hub")])
    }

    /// From a dataset to a release under a permit; gives the release's transaction.
    pub(crate) async fn release(&self, client: &LedgerClient) -> (TxId, PermitId) {
        let release = self.releasable(client).await;
        let permit = release.permit.clone();
        let anna = self.signer("st-anna");
        (self.apply(client, RecordRelease { release }, &[&anna]).await, permit)
    }

    /// A dataset, a permit on it, and what may be released under that.
    pub(crate) async fn releasable(&self, client: &LedgerClient) -> Release {
        let dataset =
            DatasetRef { holder: member("st-anna"), dataset: DatasetId::new("signals").unwrap() };
        let columns: BTreeSet<Column> = [Column::new("code").unwrap()].into();
        let register = RegisterDataset {
            dataset: dataset.clone(),
            budget: MicroRho::new(1_000),
            delta: DeltaExponent::new(6).unwrap(),
            releases: ReleaseRule::DpOnly,
            commitment: Commitment::new([2; 32]),
        };
        let (anna, hub, uni) = (self.signer("st-anna"), self.signer("hub"), self.signer("uni"));
        let ada = Signer::new(&salus_crypto::SigningKey::from_secret(&Secret::new([5; 32])));
        self.apply(client, register, &[&anna]).await;
        let terms = PermitTerms {
            grounds: vec![Ground {
                dataset: dataset.clone(),
                columns: columns.clone(),
                budget: MicroRho::new(500),
            }],
            purpose: Purpose::Research,
            code: None,
            releases: ReleaseRule::DpOnly,
            expires: now().saturating_add_micros(86_400_000_000),
        };
        let apply = ApplyForPermit { pseudonym: ada.public_key(), terms };
        let permit = self.apply(client, apply, &[&uni, &ada]).await.permit().unwrap();
        self.apply(client, GrantPermit { permit: permit.clone() }, &[&hub]).await;
        let charge = PrivacyCharge::Bounded(MicroRho::new(40));
        Release {
            actor: ada.public_key(),
            permit,
            uses: vec![DatasetUse {
                dataset,
                version: DatasetVersion::FIRST,
                columns,
                optout_epoch: 0,
                charge,
            }],
            code: CodeHash::new([6; 32]),
            input: Commitment::new([7; 32]),
            result: ResultHash::new([8; 32]),
            attestation: AttestationRef::Premises,
            gate: None,
            review: None,
        }
    }

    /// Runs a call and expects that it takes effect.
    pub(crate) async fn apply(
        &self,
        client: &LedgerClient,
        call: impl Into<Call>,
        signers: &[&Signer],
    ) -> TxId {
        let tx = self.signed(call, signers);
        let recorded = client.submit(&tx).await.unwrap();
        assert_eq!(recorded.entry.outcome, salus_ledger::block::Outcome::Applied);
        tx.id()
    }
}

/// The program that runs a validator in a process of its own.
pub(crate) fn program() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_salus-validator")).to_path_buf()
}
