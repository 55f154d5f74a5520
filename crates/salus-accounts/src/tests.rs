#![allow(clippy::unwrap_used)]

use salus_crypto::OsEntropy;
use salus_crypto::aead::AeadKey;
use salus_model::{Secret, Timestamp};

use crate::limit::{FREE_TRIES, Tries};
use crate::password::{Kept, Password, PasswordRefused};
use crate::second::{Enrolment, step_of_code};
use crate::{AccountId, LoginName};

const SECOND: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * SECOND).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[test]
fn one_name_has_one_spelling() {
    let name = LoginName::new("  Ana.Müller ").unwrap();
    assert_eq!(name.as_str(), "ana.müller");
    // The same letters, composed otherwise.
    assert_eq!(LoginName::new("ana.mu\u{308}ller").unwrap(), name);
    assert!(LoginName::new("a").is_err());
    assert!(LoginName::new("a b").unwrap_err().to_string().contains("character 2"));
}

#[test]
fn a_name_is_guessed_at_most_a_hundred_times_in_a_day() {
    let mut now = at(1_000_000);
    let start = now;
    let mut tries = Tries::none(now);
    let mut guesses = 0;
    while now.micros_since(start) < 24 * 3600 * SECOND {
        match tries.count(now) {
            Ok(next) => {
                tries = next;
                guesses += 1;
            }
            Err(until) => now = until,
        }
    }
    assert!(guesses > FREE_TRIES, "{guesses}");
    assert!(guesses <= 100, "{guesses} guesses in a day");
}

#[test]
fn tries_that_are_given_back_leave_the_failed_ones() {
    let now = at(1);
    let mut tries = Tries::none(now);
    for _ in 0..3 {
        tries = tries.count(now).unwrap();
    }
    for _ in 0..50 {
        tries = tries.count(now).unwrap().give_back();
    }
    let fourth = tries.count(now).unwrap();
    let fifth = fourth.count(now).unwrap();
    let sixth = fifth.count(now).unwrap();
    assert_eq!(sixth.count(now), Err(now.saturating_add_micros(30 * SECOND)));
}

#[test]
fn short_and_guessable_passwords_are_refused_with_advice() {
    let chosen =
        |text: &str| Password::chosen(&secret(text), &["ana.silva", "Ana Silva", "st-vincent"]);
    assert_eq!(chosen("kurz").unwrap_err(), PasswordRefused::Length { found: 4 });
    assert_eq!(chosen(&"x".repeat(257)).unwrap_err(), PasswordRefused::Length { found: 257 });
    for guessable in ["password1234", "qwertyuiop12", "AnaSilva2026!", "aaaaaaaaaaaaaaaa"] {
        let refused = chosen(guessable).unwrap_err();
        assert!(matches!(refused, PasswordRefused::Guessable { .. }), "{guessable}: {refused:?}");
        assert!(!refused.to_string().contains(guessable));
    }
    chosen("granite lamp ferry plum").unwrap();
}

#[test]
fn a_kept_password_fits_itself_in_any_unicode_form() {
    let password = Password::chosen(&secret("caf\u{e9} granite ferry plum"), &[]).unwrap();
    let kept = Kept::new(&mut OsEntropy, &password).unwrap();
    assert!(kept.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.as_str());
    assert!(kept.fits(&Password::typed(&secret("cafe\u{301} granite ferry plum"))));
    assert!(!kept.fits(&Password::typed(&secret("cafe granite ferry plum"))));
    assert_ne!(Kept::new(&mut OsEntropy, &password).unwrap(), kept, "each has a salt of its own");
}

#[test]
fn a_code_is_good_for_its_step_and_not_again() {
    let key = AeadKey::generate(&mut OsEntropy).unwrap();
    let account = AccountId::generate(&mut OsEntropy).unwrap();
    let other = AccountId::generate(&mut OsEntropy).unwrap();
    let enrolment = Enrolment::generate(&mut OsEntropy, &key, &account, "ana").unwrap();
    let totp = totp_rs::TOTP::from_url(enrolment.uri.expose()).unwrap();
    let now = at(1_800_000_000);
    let code = secret(&totp.generate(1_800_000_000));
    let check = |account: &AccountId, code: &Secret<String>, last: i64, now: Timestamp| {
        step_of_code(&key, account, &enrolment.sealed, code, last, now)
    };
    let step = check(&account, &code, 0, now).unwrap().expect("right now");
    assert_eq!(step, 60_000_000);
    assert_eq!(check(&account, &code, step, now).unwrap(), None, "used");
    assert_eq!(check(&account, &code, 0, at(1_800_000_000 + 29)).unwrap(), Some(step));
    assert_eq!(check(&account, &code, 0, at(1_800_000_000 + 59)).unwrap(), Some(step), "one late");
    assert_eq!(check(&account, &code, 0, at(1_800_000_000 + 60)).unwrap(), None, "too old");
    assert!(check(&other, &code, 0, now).is_err(), "sealed for its account");
}
