//! Who is let in with a question, against a real validator.

use std::sync::Arc;
use std::time::Duration;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::PublicKey;
use salus_ledger::call::{AdmitMember, Call, RevokeKey, RevokeMember};
use salus_ledger::policy::{Policy, Role};
use salus_ledger::query::HolderError;
use salus_model::{Class, Classified as _, Clock as _, MemberId, Secret};
use salus_node::{HolderLedger, MemberDoor, NotAdmitted, SystemClock};
use salus_spine::Freshness;
use salus_validator::client::LedgerClient;
use salus_validator::dev::{Authority, DevNetwork};
use salus_validator::{Identity, Validator};

const FRESHNESS: Freshness = Freshness { max_age_micros: 60_000_000, max_ahead_micros: 5_000_000 };

/// A ledger of one validator, the hub's hand on it, and a hospital's door.
struct Stage {
    network: DevNetwork,
    hub: HolderLedger,
    door: MemberDoor,
    _validator: Validator,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let word = Passphrase::new(Secret::new("correct horse battery".to_owned())).unwrap();
        let members: [(&str, &[Role]); 4] = [
            ("hub", &[Role::Administrator, Role::Officer]),
            ("st-mary", &[Role::Holder]),
            ("uni", &[Role::Research]),
            ("institute", &[Role::Research]),
        ];
        let governance = Policy::role(Role::Administrator);
        let mut network = DevNetwork::new(1, &members, governance, SystemClock.now()).unwrap();
        let folders = network.lay_out(folder.path(), &word, GuessCost::OWASP_MINIMUM).unwrap();
        let validator = Validator::start(&folders[0], &word).unwrap();
        let urls = [format!("https://{}", validator.api())];
        let mut hand = |name: &str| {
            let identity = network.members.remove(name).unwrap();
            let client = LedgerClient::new(&urls, &network.genesis, &identity).unwrap();
            let member = MemberId::new(name).unwrap();
            let of = (member, network.genesis.clone());
            HolderLedger::new(of, client, identity, Arc::new(SystemClock))
        };
        let (hub, own) = (hand("hub"), hand("st-mary"));
        let door = MemberDoor::new(Arc::new(own), Arc::new(SystemClock), FRESHNESS);
        Self { network, hub, door, _validator: validator, _folder: folder }
    }

    async fn submit(&self, call: impl Into<Call>) {
        self.hub.submit(call).await.unwrap();
    }

    async fn comes(&self, identity: &Identity) -> Result<MemberId, NotAdmitted> {
        self.comes_as(identity, &identity.signer().public_key()).await
    }

    async fn comes_as(
        &self,
        identity: &Identity,
        key: &PublicKey,
    ) -> Result<MemberId, NotAdmitted> {
        let certificate = identity.chain[0].as_bytes();
        Ok(self.door.admit(certificate, key).await?.member)
    }
}

fn against(outcome: Result<MemberId, NotAdmitted>) -> HolderError {
    match outcome.unwrap_err() {
        error @ NotAdmitted::DoesNotCount(_) => {
            assert_eq!(error.class(), Class::Refused);
            let NotAdmitted::DoesNotCount(why) = error else { unreachable!() };
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_let_in_until_they_are_revoked() {
    let stage = Stage::new();
    let (uni, institute) = (&stage.network.members["uni"], &stage.network.members["institute"]);
    for identity in [uni, institute] {
        stage.comes(identity).await.unwrap();
    }
    assert_eq!(stage.comes(uni).await.unwrap().as_str(), "uni");
    // What the ledger said a moment ago does not count any more.
    stage.submit(RevokeMember { member: MemberId::new("uni").unwrap() }).await;
    assert!(matches!(against(stage.comes(uni).await), HolderError::Revoked { .. }));
    stage.submit(RevokeKey { key: institute.signer().public_key() }).await;
    assert!(matches!(against(stage.comes(institute).await), HolderError::Revoked { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_its_authority_revoked_opens_nothing() {
    let stage = Stage::new();
    let uni = &stage.network.members["uni"];
    stage.comes(uni).await.unwrap();
    let list = stage.network.authority.revoke(&[&uni.chain[0]], 1, SystemClock.now()).unwrap();
    stage.submit(list).await;
    assert!(matches!(against(stage.comes(uni).await), HolderError::CertificateRevoked { .. }));
    // The others' are as good as before.
    stage.comes(&stage.network.members["institute"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_opens_nothing() {
    let stage = Stage::new();
    let now = SystemClock.now();
    let end = now.saturating_add_micros(6_000_000);
    let (admission, brief) =
        stage.network.authority.enrol_until("brief", &[Role::Research], now, end).unwrap();
    stage.submit(admission).await;
    stage.comes(&brief).await.unwrap();
    while SystemClock.now() <= end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(matches!(against(stage.comes(&brief).await), HolderError::NotValidNow { .. }));
    // One that was never valid here yet.
    let later = now.saturating_add_micros(30 * 86_400_000_000);
    let until = later.saturating_add_micros(86_400_000_000);
    let early: Result<(AdmitMember, Identity), _> =
        stage.network.authority.enrol_until("early", &[Role::Research], later, until);
    let refused = stage.hub.submit(early.unwrap().0).await;
    assert!(refused.is_err(), "the ledger binds what is not valid yet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_borrowed_names_are_turned_away() {
    let (stage, elsewhere) = (Stage::new(), Stage::new());
    let (uni, other) = (&stage.network.members["uni"], &elsewhere.network.members["uni"]);
    let key = |identity: &Identity| identity.signer().public_key();
    // A member of another ledger, and one that names a member's key of this one.
    assert_eq!(against(stage.comes(other).await), HolderError::Unknown);
    assert_eq!(against(stage.comes_as(other, &key(uni)).await), HolderError::Unknown);
    // A member under another member's name: the certificate vouches for one key alone.
    let institute = &stage.network.members["institute"];
    assert_eq!(against(stage.comes_as(uni, &key(institute)).await), HolderError::Unknown);
    // Certified by the ledger's own authority, and bound to no key of it.
    let (_, unbound) =
        stage.network.authority.enrol("stray", &[Role::Research], SystemClock.now()).unwrap();
    assert_eq!(against(stage.comes(&unbound).await), HolderError::Unknown);
    let foreign = Authority::new("Another authority").unwrap();
    let (_, foreign) = foreign.enrol("uni", &[Role::Research], SystemClock.now()).unwrap();
    assert_eq!(against(stage.comes_as(&foreign, &key(uni)).await), HolderError::Unknown);
    assert_eq!(stage.comes(uni).await.unwrap().as_str(), "uni");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_ledger_nobody_is_let_in() {
    let stage = Stage::new();
    let uni = &stage.network.members["uni"];
    stage.comes(uni).await.unwrap();
    let Stage { network, door, _validator, .. } = stage;
    _validator.stop();
    let uni = &network.members["uni"];
    let refused = door.admit(uni.chain[0].as_bytes(), &uni.signer().public_key()).await;
    assert_eq!(refused.unwrap_err().class(), Class::Unavailable);
}
