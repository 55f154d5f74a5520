#![allow(clippy::unwrap_used)]

use std::path::Path;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_model::{HolderId, Secret};
use salus_spine::Upkeep;

use crate::{Config, ConfigError, KeyStoreConfig, ListenConfig, RevocationDelay, Site, SiteError};

fn config() -> Config {
    let any = "127.0.0.1:0".parse().unwrap();
    let listen = ListenConfig { http: any, postgres: any, flight: any };
    Config::embedded(HolderId::new("st-mary").unwrap(), listen)
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::new(text.to_owned())).unwrap()
}

async fn init(folder: &Path) -> Result<(), SiteError> {
    let right = passphrase("correct horse battery");
    Site::init(folder, &config(), right, GuessCost::OWASP_MINIMUM).await
}

async fn open(folder: &Path, text: &str) -> Result<Site, SiteError> {
    Site::open(folder, passphrase(text), GuessCost::OWASP_MINIMUM).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_opens_again_with_its_passphrase_only() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path()).await.unwrap();
    let site = open(folder.path(), "correct horse battery").await.unwrap();
    assert_eq!(site.lake.holder().as_str(), "st-mary");
    let wrong = open(folder.path(), "incorrect horse battery").await;
    assert!(matches!(wrong.err(), Some(SiteError::KeyFile(_))));
    let again = init(folder.path()).await.unwrap_err();
    assert!(matches!(again, SiteError::Config(ConfigError::SiteExists { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_authority_key_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(one.path()).await.unwrap();
    init(two.path()).await.unwrap();
    std::fs::copy(two.path().join("authority"), one.path().join("authority")).unwrap();
    let swapped = open(one.path(), "correct horse battery").await;
    assert!(matches!(swapped.err(), Some(SiteError::Authority(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_orders_its_own_upkeep() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path()).await.unwrap();
    let site = open(folder.path(), "correct horse battery").await.unwrap();
    let meals = "meals".parse().unwrap();
    let token = site.order_upkeep(&meals, Upkeep::Compact).unwrap();
    assert_eq!(token.covers(&meals, Upkeep::Compact), Ok(()));
}

#[test]
fn a_key_file_inside_the_lake_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["lake/keystore", "lake/../lake/keys", "./lake/a/b"] {
        let keys = KeyStoreConfig::Local {
            file: file.into(),
            revocation_seconds: RevocationDelay::a_minute(),
        };
        let refused = Config { keys, ..config() }.write_new(folder.path());
        assert!(matches!(refused, Err(ConfigError::KeysInLake { .. })), "{file}");
    }
}

#[test]
fn a_faulty_configuration_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Config::read(folder.path()).unwrap_err();
    assert!(matches!(refused, ConfigError::NoSite { .. }));
    std::fs::write(folder.path().join("salus.toml"), "format = 1\nholder = \"St Mary\"\n").unwrap();
    let message = Config::read(folder.path()).unwrap_err().to_string();
    assert!(message.contains("line 2"), "{message}");
    assert!(message.contains("'S'"), "{message}");
}

mod vouching {
    use std::collections::BTreeSet;

    use salus_accounts::{Account, AccountId, AccountRole, AccountState, LoginName};
    use salus_ledger::Fingerprint;
    use salus_ledger::policy::Role;
    use salus_ledger::proof::KeyStanding;
    use salus_model::{MemberId, Timestamp};

    use crate::{VouchingError, is_vouched};

    fn account(role: AccountRole) -> Account {
        Account {
            id: AccountId::try_from("0".repeat(32)).unwrap(),
            login: LoginName::new("ana").unwrap(),
            name: "Ana".into(),
            role,
            member: MemberId::new("uni").unwrap(),
            bound: None,
            state: AccountState::Active,
            second_factor: true,
            created: Timestamp::EPOCH,
        }
    }

    fn standing(member: &str, roles: &[Role]) -> KeyStanding {
        KeyStanding {
            member: MemberId::new(member).unwrap(),
            roles: roles.iter().copied().collect::<BTreeSet<_>>(),
            certificate: Fingerprint::new([7; 32]),
        }
    }

    #[test]
    fn an_organisation_vouches_for_its_own_people_and_for_what_it_is_itself() {
        for account_role in AccountRole::ALL {
            let account = account(account_role);
            let other = is_vouched(&account, &standing("st-mary", &Role::ALL));
            assert!(matches!(other, Err(VouchingError::OtherMember { .. })), "{other:?}");
            for role in Role::ALL {
                let enough = match account_role {
                    AccountRole::Administrator | AccountRole::Auditor => true,
                    AccountRole::Researcher => role == Role::Research,
                    AccountRole::Steward => matches!(role, Role::Holder | Role::Officer),
                    AccountRole::Technician => role == Role::Holder,
                };
                let found = is_vouched(&account, &standing("uni", &[role]));
                assert_eq!(found.is_ok(), enough, "{account_role} by {role:?}: {found:?}");
            }
        }
        // A key that has lost every role still is the organisation's.
        is_vouched(&account(AccountRole::Auditor), &standing("uni", &[])).unwrap();
    }
}
