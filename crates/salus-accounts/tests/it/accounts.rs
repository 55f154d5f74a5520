use salus_accounts::second::Second;
use salus_accounts::{
    AccountError, AccountRole, Accounts, Asking, Authority, Bound, Database, EventKind, Invitation,
    LoginName, NewAccount, OpenError, Outcome, SessionRules, SessionToken, SignIn, SignedIn,
    Strength,
};
use salus_crypto::Digest;
use salus_ledger::PublicKey;
use salus_model::{Class, MemberId, MicroRho, PermitId, Secret};

use crate::database::Site;

const GOOD: &str = "granite lamp ferry plum";
const BETTER: &str = "copper walnut tram eleven";
const MINUTE: i64 = 60 * 1_000_000;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn login(text: &str) -> LoginName {
    LoginName::new(text).unwrap()
}

fn new(name: &str, role: AccountRole) -> NewAccount {
    let member = MemberId::new("st-vincent").unwrap();
    NewAccount { login: login(name), name: name.to_owned(), role, member }
}

fn with(name: &str, password: &str, second: Option<Second>) -> SignIn {
    SignIn { login: name.to_owned(), password: secret(password), second }
}

/// The first administrator with a second factor, and the app that makes its codes.
async fn administrator(site: &Site) -> (SignedIn, totp_rs::TOTP, Vec<Secret<String>>) {
    let accounts = &site.accounts;
    let member = MemberId::new("hub").unwrap();
    let invited = accounts.found(login("root.admin"), "Root".into(), member).await.unwrap();
    let first = accounts.accept(&invited.code, &secret(GOOD)).await.unwrap();
    assert_eq!(first.standing.strength, Strength::Enrolment);
    let enrolment = accounts.enrol(&first.standing).await.unwrap();
    let app = totp_rs::TOTP::from_url(enrolment.uri.expose()).unwrap();
    let signed_in = accounts.confirm_enrolment(&first.standing, &code(site, &app)).await.unwrap();
    assert_eq!(signed_in.standing.strength, Strength::Full);
    (signed_in, app, enrolment.recovery)
}

fn code(site: &Site, app: &totp_rs::TOTP) -> Secret<String> {
    use salus_model::Clock as _;
    let seconds = u64::try_from(site.clock.now().as_micros() / 1_000_000).unwrap();
    Secret::new(app.generate(seconds))
}

async fn researcher(site: &Site, by: &SignedIn, name: &str) -> (Invitation, SignedIn) {
    let invited =
        site.accounts.invite(&by.standing, new(name, AccountRole::Researcher)).await.unwrap();
    let signed_in = site.accounts.accept(&invited.code, &secret(BETTER)).await.unwrap();
    (invited, signed_in)
}

async fn life_of_an_account(site: Site) {
    let (admin, app, recovery) = administrator(&site).await;
    let accounts = &site.accounts;
    let (invited, ana) = researcher(&site, &admin, "Ana").await;
    assert_eq!(accounts.who(&ana.token).await.unwrap().account.login, login("ana"));

    // The code was used up, and a second first administrator cannot be made.
    let again = accounts.accept(&invited.code, &secret(GOOD)).await;
    assert!(matches!(again, Err(AccountError::NoInvitation)), "{again:?}");
    let member = MemberId::new("hub").unwrap();
    let second = accounts.found(login("mallory"), "M".into(), member).await;
    assert!(matches!(second, Err(AccountError::NotTheFirst)));
    let taken = accounts.invite(&admin.standing, new("ANA", AccountRole::Auditor)).await;
    assert!(matches!(taken, Err(AccountError::Taken { .. })));

    // A researcher is no administrator.
    let invite = accounts.invite(&ana.standing, new("eve", AccountRole::Administrator)).await;
    assert!(matches!(invite, Err(AccountError::NotAdministrator)));
    let list = accounts.list(&ana.standing).await;
    assert!(matches!(list, Err(AccountError::NotAdministrator)));
    let change = accounts
        .change_role(&ana.standing, &ana.standing.account.id, AccountRole::Administrator)
        .await;
    assert!(matches!(change, Err(AccountError::NotAdministrator)));

    // A session makes no second factor of its own beside the one that there is.
    let another = accounts.enrol(&admin.standing).await;
    assert!(matches!(another, Err(AccountError::FactorSet)), "{another:?}");

    // Codes: wanted, wrong, used twice, and a recovery code once.
    site.clock.advance_micros(MINUTE);
    let wanted = accounts.sign_in(with("root.admin", GOOD, None)).await;
    assert!(matches!(wanted, Err(AccountError::CodeWanted)));
    let good = code(&site, &app);
    let wrong =
        Secret::new(if good.expose() == "000000" { "000001".into() } else { "000000".into() });
    let refused = accounts.sign_in(with("root.admin", GOOD, Some(Second::Code(wrong)))).await;
    assert!(matches!(refused, Err(AccountError::Refused)));
    let shown = || Some(Second::Code(secret(good.expose())));
    accounts.sign_in(with("root.admin", GOOD, shown())).await.unwrap();
    let replayed = accounts.sign_in(with("root.admin", GOOD, shown())).await;
    assert!(matches!(replayed, Err(AccountError::Refused)), "a code is good once");
    let spare = || Some(Second::Recovery(secret(&recovery[3].expose().to_uppercase())));
    accounts.sign_in(with("Root.Admin", GOOD, spare())).await.unwrap();
    let spent = accounts.sign_in(with("root.admin", GOOD, spare())).await;
    assert!(matches!(spent, Err(AccountError::Refused)), "a recovery code is good once");

    // A changed role ends sessions; so does closing the account.
    let id = ana.standing.account.id.clone();
    let bound = Bound { key: PublicKey::new([7; 32]), certificate: Digest::of(b"certificate") };
    accounts.bind(&admin.standing, &id, Some(&bound)).await.unwrap();
    let listed = accounts.list(&admin.standing).await.unwrap();
    assert_eq!(listed.iter().find(|account| account.id == id).unwrap().bound, Some(bound));
    accounts.change_role(&admin.standing, &id, AccountRole::Auditor).await.unwrap();
    assert!(matches!(accounts.who(&ana.token).await, Err(AccountError::NoSession)));
    let listed = accounts.list(&admin.standing).await.unwrap();
    let row = listed.iter().find(|account| account.id == id).unwrap();
    assert_eq!((row.role, row.bound), (AccountRole::Auditor, None));
    let ana = accounts.sign_in(with("ana", BETTER, None)).await.unwrap();
    accounts.revoke(&admin.standing, &id).await.unwrap();
    assert!(matches!(accounts.who(&ana.token).await, Err(AccountError::NoSession)));
    let closed = accounts.sign_in(with("ana", BETTER, None)).await;
    assert!(matches!(closed, Err(AccountError::Refused)));
    let reopened = accounts.invite_again(&admin.standing, &id).await;
    assert!(matches!(reopened, Err(AccountError::NoAccount { .. })));

    let last = accounts.revoke(&admin.standing, &admin.standing.account.id).await;
    assert!(matches!(last, Err(AccountError::LastAdministrator)));
    let last = accounts
        .change_role(&admin.standing, &admin.standing.account.id, AccountRole::Auditor)
        .await;
    assert!(matches!(last, Err(AccountError::LastAdministrator)));

    let history = accounts.history(&admin.standing, None, 100).await.unwrap();
    let kinds: Vec<EventKind> = history.iter().rev().map(|event| event.kind).collect();
    assert_eq!(kinds.first(), Some(&EventKind::Invited));
    for kind in
        [EventKind::RecoveryUsed, EventKind::Bound, EventKind::RoleChanged, EventKind::Revoked]
    {
        assert!(kinds.contains(&kind), "{kind:?} is missing in {kinds:?}");
    }
    let numbers: Vec<i64> = history.iter().rev().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());

    nothing_on_disk_opens_anything(
        &site,
        &[
            GOOD,
            BETTER,
            good.expose(),
            ana.token.expose(),
            admin.token.expose(),
            invited.code.expose(),
            recovery[0].expose(),
            &app.get_secret_base32(),
        ],
    );
}

fn nothing_on_disk_opens_anything(site: &Site, secrets: &[&str]) {
    let files = site.on_disk();
    let finds = |needle: &[u8]| {
        files.iter().any(|(_, bytes)| bytes.windows(needle.len()).any(|window| window == needle))
    };
    // The scan does find what is there.
    assert!(finds(b"root.admin"));
    assert!(finds(b"$argon2id$"));
    for secret in secrets.iter().filter(|secret| secret.len() > 8) {
        assert!(!finds(secret.as_bytes()), "a secret of {} bytes is on the disk", secret.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_lives_in_sqlite() {
    life_of_an_account(Site::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_lives_in_postgresql() {
    life_of_an_account(Site::postgres().await).await;
}

async fn guesses_in_parallel(site: Site) {
    let (admin, _, _) = administrator(&site).await;
    researcher(&site, &admin, "ana").await;
    let accounts = std::sync::Arc::new(site.accounts);
    for name in ["ana", "nobody-by-this-name"] {
        let tries: Vec<_> = (0..12)
            .map(|n| {
                let accounts = std::sync::Arc::clone(&accounts);
                tokio::spawn(async move {
                    accounts.sign_in(with(name, &format!("guess {n}"), None)).await
                })
            })
            .collect();
        let mut refused = 0;
        let mut waits = 0;
        for tried in tries {
            match tried.await.unwrap() {
                Err(AccountError::Refused) => refused += 1,
                Err(AccountError::Wait { .. }) => waits += 1,
                other => panic!("{other:?}"),
            }
        }
        // Five are free, the sixth is looked at and brings the wait; known and unknown are alike.
        assert_eq!((refused, waits), (6, 6), "{name}");
        // Now the right password has to wait too, which is what tells a guesser nothing.
        let waiting = accounts.sign_in(with(name, BETTER, None)).await;
        assert!(matches!(waiting, Err(AccountError::Wait { .. })), "{name}: {waiting:?}");
    }
    site.clock.advance_micros(MINUTE);
    accounts.sign_in(with("ana", BETTER, None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_in_parallel_do_not_get_around_the_limit_in_sqlite() {
    guesses_in_parallel(Site::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_in_parallel_do_not_get_around_the_limit_in_postgresql() {
    guesses_in_parallel(Site::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_password_gives_no_end_of_codes_to_guess() {
    let site = Site::sqlite().await;
    let (_, app, _) = administrator(&site).await;
    site.clock.advance_micros(MINUTE);
    let good = code(&site, &app);
    let mut looked_at = 0;
    for n in 0..40 {
        // Between guesses the thief signs in without a code, hoping that this clears the count.
        let _ = site.accounts.sign_in(with("root.admin", GOOD, None)).await;
        let guess = format!("{:06}", (n * 7919 + 1) % 1_000_000);
        if guess == *good.expose() {
            continue;
        }
        match site
            .accounts
            .sign_in(with("root.admin", GOOD, Some(Second::Code(secret(&guess)))))
            .await
        {
            Err(AccountError::Refused) => looked_at += 1,
            Err(AccountError::Wait { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(looked_at <= 6, "{looked_at} codes were looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end() {
    let site = Site::sqlite().await;
    let (admin, _, _) = administrator(&site).await;
    let (_, ana) = researcher(&site, &admin, "ana").await;
    let accounts = &site.accounts;
    // In use it goes on, idle it ends.
    for _ in 0..4 {
        site.clock.advance_micros(29 * MINUTE);
        accounts.who(&ana.token).await.unwrap();
    }
    site.clock.advance_micros(31 * MINUTE);
    assert!(matches!(accounts.who(&ana.token).await, Err(AccountError::NoSession)));
    // In use without a pause it ends too.
    let ana = accounts.sign_in(with("ana", BETTER, None)).await.unwrap();
    let mut lived = 0;
    while accounts.who(&ana.token).await.is_ok() {
        site.clock.advance_micros(29 * MINUTE);
        lived += 29;
    }
    assert!((12 * 60 - 29..=12 * 60 + 29).contains(&lived), "{lived} minutes");
    // A new password ends the other sessions.
    let one = accounts.sign_in(with("ana", BETTER, None)).await.unwrap();
    let two = accounts.sign_in(with("ana", BETTER, None)).await.unwrap();
    let wrong = accounts.change_password(&one.standing, &secret(GOOD), &secret(GOOD)).await;
    assert!(matches!(wrong, Err(AccountError::Refused)));
    let weak =
        accounts.change_password(&one.standing, &secret(BETTER), &secret("ana ana ana ana")).await;
    assert!(matches!(weak, Err(AccountError::Password(_))));
    let now =
        accounts.change_password(&one.standing, &secret(BETTER), &secret(GOOD)).await.unwrap();
    assert!(accounts.who(&two.token).await.is_err());
    assert!(accounts.who(&one.token).await.is_err());
    accounts.who(&now.token).await.unwrap();
    accounts.sign_out(&now.token).await.unwrap();
    assert!(accounts.who(&now.token).await.is_err());
    assert!(accounts.who(&SessionToken::shown("salus_s_00")).await.is_err());
    accounts.sweep().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_who_close_each_other_leave_one() {
    let site = Site::postgres().await;
    let (admin, _, _) = administrator(&site).await;
    let accounts = &site.accounts;
    let invited =
        accounts.invite(&admin.standing, new("second", AccountRole::Administrator)).await.unwrap();
    let first = accounts.accept(&invited.code, &secret(BETTER)).await.unwrap();
    let early = accounts.list(&first.standing).await;
    assert!(matches!(early, Err(AccountError::EnrolFirst { .. })), "no power without the factor");
    let enrolment = accounts.enrol(&first.standing).await.unwrap();
    let app = totp_rs::TOTP::from_url(enrolment.uri.expose()).unwrap();
    let second = accounts.confirm_enrolment(&first.standing, &code(&site, &app)).await.unwrap();
    let (one, two) = tokio::join!(
        accounts.revoke(&admin.standing, &second.standing.account.id),
        accounts.revoke(&second.standing, &admin.standing.account.id),
    );
    assert!(one.is_ok() ^ two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_the_owners_and_needs_its_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::sqlite().await;
    let (_, app, _) = administrator(&site).await;
    let path = site.folder.path().join("accounts.sqlite");
    for entry in std::fs::read_dir(site.folder.path()).unwrap() {
        let mode = entry.as_ref().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} can be read by others", entry.unwrap().path());
    }
    // Under another key no second factor opens; nobody gets in on the password alone.
    site.clock.advance_micros(MINUTE);
    let other = salus_crypto::aead::AeadKey::generate(&mut salus_crypto::OsEntropy).unwrap();
    let database = Database::Sqlite(path.clone());
    let moved =
        Accounts::open(&database, &other, site.clock.clone(), SessionRules::OFFICE).await.unwrap();
    let shown = Some(Second::Code(code(&site, &app)));
    let refused = moved.sign_in(with("root.admin", GOOD, shown)).await;
    assert!(matches!(refused, Err(AccountError::Second(_))), "{refused:?}");
    drop(moved);
    let same = Accounts::open(&database, &site.key, site.clock.clone(), SessionRules::OFFICE).await;
    let shown = Some(Second::Code(code(&site, &app)));
    same.unwrap().sign_in(with("root.admin", GOOD, shown)).await.unwrap();

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = Accounts::open(&database, &site.key, site.clock.clone(), SessionRules::OFFICE).await;
    assert!(matches!(open, Err(OpenError::Readable { .. })));
}

async fn history_of_questions(site: Site) {
    const NEEDLE: &str = "haemochromatosis-in-the-valley";
    let (admin, _, _) = administrator(&site).await;
    let (_, ana) = researcher(&site, &admin, "ana").await;
    let (_, bea) = researcher(&site, &admin, "bea").await;
    let accounts = &site.accounts;
    let permit = PermitId::new(format!("permit-{}", "0".repeat(32))).unwrap();
    let question = format!("SELECT count(*) FROM visits WHERE code = '{NEEDLE}'");
    let asking = Asking { permit: &permit, dataset: "st-anna/visits", question: &question };
    let refused = accounts.ask(&admin.standing, &asking).await;
    assert!(matches!(refused, Err(AccountError::NotResearcher)), "{refused:?}");
    let first = accounts.ask(&ana.standing, &asking).await.unwrap();
    let second = accounts.ask(&bea.standing, &asking).await.unwrap();
    let _left_open = accounts.ask(&ana.standing, &asking).await.unwrap();
    let answered = Outcome::Answered {
        deal: "q-1".into(),
        receipt: "receipt-1".into(),
        micro_rho: MicroRho::new(500),
    };
    accounts.ended(first, &answered).await.unwrap();
    accounts.ended(second, &Outcome::failed(Class::Refused)).await.unwrap();

    let own = accounts.asked(&ana.standing, None, 10).await.unwrap();
    let ends: Vec<_> = own.iter().map(|asked| (asked.number, asked.outcome.clone())).collect();
    assert_eq!(ends, [(3, Outcome::Sent), (1, answered)]);
    assert!(own.iter().all(|asked| asked.account == ana.standing.account.id));
    assert_eq!(own[0].question, question);
    let all = accounts.asked(&admin.standing, None, 10).await.unwrap();
    assert_eq!(all.iter().map(|asked| asked.number).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(all[1].outcome, Outcome::Failed { class: "refused" });
    let page = accounts.asked(Authority::Operator, Some(3), 1).await.unwrap();
    assert_eq!(page.iter().map(|asked| asked.number).collect::<Vec<_>>(), [2]);

    let found = |needle: &str| {
        let files = site.on_disk();
        let bytes = needle.as_bytes();
        files.iter().any(|(_, file)| file.windows(bytes.len()).any(|window| window == bytes))
    };
    assert!(found("st-anna/visits"));
    assert!(!found(NEEDLE), "a question's text is on the disk");
    assert!(!found(&hex::encode(NEEDLE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_kept_sealed_and_shown_to_whom_they_concern_in_sqlite() {
    history_of_questions(Site::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_kept_sealed_and_shown_to_whom_they_concern_in_postgresql() {
    history_of_questions(Site::postgres().await).await;
}

/// The time that a refusal takes says nothing about whether the name exists. 31 interleaved pairs;
/// the medians may differ by a fifth, while leaving the hash out would make one a hundredth of the
/// other, and leaving the write to the disk out would show with a slow disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_takes_as_long_as_a_known_one() {
    const PAIRS: usize = 31;
    let site = Site::sqlite().await;
    let (admin, _, _) = administrator(&site).await;
    researcher(&site, &admin, "ana").await;
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        for (name, taken) in ["ana", "nobody-by-this-name"].into_iter().zip(&mut taken) {
            let begun = std::time::Instant::now();
            let refused = site.accounts.sign_in(with(name, "a wrong password", None)).await;
            taken.push(begun.elapsed());
            assert!(matches!(refused, Err(AccountError::Refused)), "{refused:?}");
        }
        site.clock.advance_micros(61 * MINUTE);
    }
    let median = |taken: &mut Vec<std::time::Duration>| {
        taken.sort();
        taken[PAIRS / 2].as_secs_f64()
    };
    let [known, unknown] = &mut taken;
    let (known, unknown) = (median(known), median(unknown));
    println!("n = {PAIRS}; medians: known {known:.4} s, unknown {unknown:.4} s");
    assert!((known / unknown - 1.0).abs() < 0.2, "{known} s against {unknown} s");
    // And in the history both have left a line.
    let history = site.accounts.history(Authority::Operator, None, 1000).await.unwrap();
    let failed = history.iter().filter(|event| event.kind == EventKind::Failed);
    assert_eq!(failed.count(), 2 * PAIRS);
}
