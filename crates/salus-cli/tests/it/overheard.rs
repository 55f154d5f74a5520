//! Everything that others than a hospital receive of it, opened with every key that they have, and
//! searched for the hospital's own numbers.
//!
//! Who receives: the university that asks, the hub and the registry that add up shares, and the
//! validator. TLS is ended before each of them, so that what is searched is what they read; what is
//! sealed to one of them is opened with its key, and searched as well.
//!
//! # What is told from chance
//! A number of nine digits or more is searched for in every spelling. One of six bytes or more turns
//! up in a million random bytes with a chance below 10⁻⁸; one of four or five (10⁻³) counts when it
//! is in each of three recordings of the same question with other noise, as what a hospital gives away
//! is. A smaller number, a count, is searched for in what cannot be chance: as a decimal number in each
//! of three recordings, and in eight bytes or more. In independent mode a noisy count may equal the
//! exact one, or another group's: there it is judged by its place, and how often they are equal by
//! what the noise allows. In joint mode a share that is no number lies farther than 2⁶⁴ from every one
//! with a chance of 1 − 2⁻⁶³.

use std::collections::{BTreeMap, BTreeSet};

use salus_api::questions::{Answered, Asking};
use salus_crypto::Digest;
use salus_crypto::aead::Aad;
use salus_crypto::hpke::RecipientKey;
use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_dp::Answer;
use salus_dp::joint::Share;
use salus_model::{DatasetId, PermitId, Secret};
use salus_node::Site;
use salus_node::permits::PermitKey;
use salus_private::joint::{Invitation, JointQuestion, SealedShare};
use salus_private::{Profile, Profiles, Question};
use serde_json::Value as Json;

use crate::holders::{DEVICES, HOSPITALS, PARTIES, Space, VALIDATOR};
use crate::recorder::{Heard, Planted};
use crate::spellings::{Spelling, fraction, spellings, unpacked};

const COLUMNS: &str = "device_id,os_version,usage_hours,battery_percent:190";
/// Recordings of each question, each with other noise.
const EPSILONS: [&str; 3] = ["0.5", "0.51", "0.52"];
/// So much that every noise of a count is 0, but for four in a million.
const NO_NOISE: [&str; 3] = ["40", "40.1", "40.2"];
/// Numbers of so many digits are searched for in every spelling.
const LARGE: i128 = 100_000_000;
/// Below it a number is a byte or two, which stand everywhere.
const SMALLEST: i128 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Count,
    Groups,
    Sum,
    Regression,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Count, Self::Groups, Self::Sum, Self::Regression];

    const fn sql(self) -> &'static str {
        match self {
            Self::Count => "SELECT count(*) FROM devices",
            Self::Groups => "SELECT os_version, count(*) FROM devices GROUP BY os_version",
            Self::Sum => "SELECT sum(usage_hours) FROM devices",
            Self::Regression => {
                "SELECT regr_slope(battery_percent, usage_hours), \
                 regr_intercept(battery_percent, usage_hours) FROM devices"
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Independent,
    Joint,
}

/// A hospital's own numbers, worked out from its rows here.
struct Own {
    of: BTreeMap<Kind, Vec<i128>>,
    hours: f64,
}

impl Own {
    /// In the order in which an answer has them: counts by the profile's domain, sums in tenths of an
    /// hour, moments of twice the distance from the middle of the bounds.
    fn of(space: &Space, name: &str, domain: &[String]) -> Self {
        let sql = "SELECT os_version, usage_hours, battery_percent FROM devices";
        let rows = space.world.json(name, &["sql", sql, "--role", "technician"]);
        let rows = rows.as_array().unwrap();
        let mut groups = vec![0; domain.len()];
        let (mut sum, mut moments) = (0, [0; 6]);
        for row in rows {
            let version = row["os_version"].as_str().unwrap();
            groups[domain.iter().position(|v| v == version).unwrap()] += 1;
            let tenths = (row["usage_hours"].as_f64().unwrap() * 10.0).round() as i128;
            assert!((0..=3_000_000).contains(&tenths), "{row}");
            sum += tenths;
            let Some(battery) = row["battery_percent"].as_f64() else { continue };
            let (x, y) = (2 * tenths - 3_000_000, 2 * battery.round() as i128 - 100);
            for (moment, more) in moments.iter_mut().zip([1, x, y, x * x, x * y, y * y]) {
                *moment += more;
            }
        }
        let of = BTreeMap::from([
            (Kind::Count, vec![rows.len() as i128]),
            (Kind::Groups, groups),
            (Kind::Sum, vec![sum]),
            (Kind::Regression, moments.to_vec()),
        ]);
        Self { of, hours: sum as f64 / 10.0 }
    }

    fn numbers(&self) -> BTreeSet<i128> {
        self.of.values().flatten().copied().collect()
    }

    /// What is searched for: every spelling of the large ones, and of the small ones those that
    /// chance does not write.
    fn needles(&self, mode: Mode) -> Vec<Spelling> {
        let mut needles = fraction(self.hours);
        for number in self.numbers() {
            let large = number.abs() >= LARGE;
            let small = number.abs() >= SMALLEST && mode == Mode::Joint;
            let fits = |s: &Spelling| s.bytes.len() >= 8 || (small && s.name == "decimal");
            let wanted = spellings(number).into_iter().filter(|s| large || (small && fits(s)));
            needles.extend(wanted);
        }
        needles
    }
}

/// What one party received, as it reads it: by the name of the party.
type Received = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// The keys of those who receive.
struct Keys {
    runtime: tokio::runtime::Runtime,
    permit: PermitKey,
    parties: BTreeMap<&'static str, RecipientKey>,
}

impl Keys {
    fn of(space: &Space, permit: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let site = |name: &str| {
            let folder = space.world.path(name);
            let words = Secret::new("correct horse battery".to_owned());
            let opened =
                Site::open(&folder, Passphrase::new(words).unwrap(), GuessCost::OWASP_MINIMUM);
            runtime.block_on(opened).unwrap()
        };
        let permit: PermitId = permit.parse().unwrap();
        let permit = runtime.block_on(site("uni").permit_key(&permit)).unwrap();
        let key = |name| (name, runtime.block_on(site(name).joint_key()).unwrap());
        let parties = PARTIES.into_iter().map(key).collect();
        Self { runtime, permit, parties }
    }

    /// An answer that was sealed to the university.
    fn answer(&self, heard: &Heard) -> Option<(String, Vec<u8>)> {
        let asking: Asking = serde_json::from_slice(&heard.request).ok()?;
        let answered: Answered = serde_json::from_slice(&heard.answer).ok()?;
        let message = hex::decode(&answered.message).ok()?;
        let opened = self.permit.open(&asking.request, &answered.deal, &message)?;
        Some((asking.question, opened.to_vec()))
    }
}

/// The numbers in a share that was sealed to a party.
fn share(key: &RecipientKey, invitation: &Invitation, sealed: &SealedShare) -> Vec<u128> {
    let digest =
        Digest::of_parts("salus joint invitation v2", &[&serde_json::to_vec(invitation).unwrap()]);
    let parts = [digest.as_bytes().as_slice(), sealed.holder.as_str().as_bytes(), &[sealed.party]];
    let bytes = serde_json::to_value(sealed).unwrap()["sealed"].take();
    let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
    let opened = key.open(&Aad::new("salus joint share v2", &parts), &[], &bytes).unwrap();
    let opened: Share = serde_json::from_slice(&opened).unwrap();
    assert_eq!((opened.party(), opened.holders()), (sealed.party, 1));
    // Its numbers are nobody's business but the party's, which is who reads them here.
    let text = serde_json::to_string(&opened).unwrap();
    let values = text.split_once("\"values\":[").unwrap().1.split_once(']').unwrap().0;
    values.split(',').map(|value| value.parse().unwrap()).collect()
}

/// A question's recording.
struct Recording {
    received: Received,
    /// What each hospital's opened answer says, in independent mode.
    numbers: BTreeMap<&'static str, Vec<i128>>,
    /// The standard errors of those numbers' noise.
    deviations: Vec<f64>,
    /// What each party's share of each hospital's numbers is, in joint mode.
    shares: BTreeMap<(&'static str, &'static str), Vec<u128>>,
}

fn released(profile: &Profile, question: &str, opened: &[u8]) -> (Vec<i128>, Vec<f64>) {
    let answer: Answer = serde_json::from_slice(opened).unwrap();
    let plan = Question::parse(question).unwrap().plan(profile).unwrap();
    let noised = plan.adopt(answer.released).unwrap();
    let deviation =
        |terms: &[salus_dp::Noise]| terms.iter().map(|noise| noise.variance()).sum::<f64>().sqrt();
    (noised.numbers().to_vec(), noised.noises().map(deviation).collect())
}

/// Asks, and opens what everybody received.
fn record(
    (space, keys, profile): (&Space, &Keys, &Profile),
    (kind, mode, epsilon): (Kind, Mode, &str),
    permit: &str,
) -> Recording {
    let _ = space.all_heard();
    let mut words = vec!["query", kind.sql(), "--permit", permit, "--epsilon", epsilon];
    if mode == Mode::Joint {
        words.push("--joint");
    }
    let answer = space.world.json("uni", &words);
    assert_eq!(answer["missing"].as_array().map(Vec::len), Some(0), "{answer}");
    let mut recording = Recording {
        received: BTreeMap::new(),
        numbers: BTreeMap::new(),
        deviations: Vec::new(),
        shares: BTreeMap::new(),
    };
    for (name, messages) in space.all_heard() {
        let mut take = |who: &'static str, bytes: &[u8]| {
            recording.received.entry(who).or_default().extend(unpacked(bytes));
        };
        for heard in &messages {
            // A hospital is asked by the university, and a validator by everybody.
            take(name, heard.head.as_bytes());
            take(name, &heard.request);
            take("uni", heard.answer_head.as_bytes());
            take("uni", &heard.answer);
            if let Some((question, opened)) = keys.answer(heard) {
                take("uni", &opened);
                if mode == Mode::Independent {
                    let (numbers, deviations) = released(profile, &question, &opened);
                    recording.numbers.insert(name, numbers);
                    recording.deviations = deviations;
                } else {
                    assert!(serde_json::from_str::<JointQuestion>(&question).is_ok());
                }
            }
            let Some(key) = keys.parties.get(name) else { continue };
            let Ok(mut wanted) = serde_json::from_slice::<Json>(&heard.request) else { continue };
            let Ok(invitation) = serde_json::from_value(wanted["invitation"].take()) else {
                continue;
            };
            let sealed: Vec<SealedShare> = serde_json::from_value(wanted["shares"].take()).unwrap();
            for sealed in sealed {
                let values = share(key, &invitation, &sealed);
                take(name, format!("{values:?}").as_bytes());
                for value in &values {
                    take(name, &value.to_le_bytes());
                }
                let of = HOSPITALS.into_iter().find(|h| *h == sealed.holder.as_str()).unwrap();
                recording.shares.insert((name, of), values);
            }
        }
    }
    recording
}

/// A number of a hospital that somebody received.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    who: &'static str,
    hospital: &'static str,
    spelled: String,
    /// What stands around it.
    around: String,
}

/// What is found in recordings of one question: at once what chance does not write, and what it may
/// write when it stands in each of them.
fn search(recordings: &[Recording], own: &BTreeMap<&'static str, Own>, mode: Mode) -> Vec<Found> {
    let mut found = Vec::new();
    for (hospital, own) in own {
        for needle in own.needles(mode) {
            // A hospital may be sent its own.
            let names = recordings.iter().flat_map(|r| r.received.keys()).copied();
            let names = names.filter(|who| who != hospital);
            for who in names.collect::<BTreeSet<_>>() {
                let stands = |r: &&Recording| {
                    let received = r.received.get(who).into_iter().flatten();
                    received.into_iter().any(|bytes| needle.stands_in(bytes))
                };
                let times = recordings.iter().filter(stands).count();
                let around = || {
                    let received = recordings.iter().flat_map(|r| r.received.get(who)).flatten();
                    let place = received.filter_map(|bytes| needle.place_in(bytes)).next();
                    place.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                };
                let wanted = if needle.bytes.len() >= 6 { 1 } else { recordings.len() };
                if times >= wanted {
                    let text = String::from_utf8_lossy(&needle.bytes).into_owned();
                    let spelled = format!("{} {text:?}", needle.name);
                    let around = around().unwrap_or_default();
                    found.push(Found { who, hospital, spelled, around });
                }
            }
        }
    }
    found
}

/// How many numbers of these hospitals equal the exact ones, and how many may: the noise's chance of 0 at each, and the
/// bound that a Poisson number of that mean exceeds once in 10⁹.
fn equal(
    recordings: &[Recording],
    (hospitals, own): (&[&'static str], &BTreeMap<&'static str, Own>),
    (kind, deviations): (Kind, &[f64]),
) -> (usize, usize) {
    let (mut equal, mut mean) = (0, 0.0);
    for recording in recordings {
        assert_eq!(recording.numbers.len(), HOSPITALS.len());
        for hospital in hospitals {
            let (numbers, exact) = (&recording.numbers[hospital], &own[hospital].of[&kind]);
            assert_eq!(numbers.len(), exact.len(), "{kind:?}");
            equal += numbers.iter().zip(exact).filter(|(noised, exact)| noised == exact).count();
            let chance =
                |sigma: &f64| (1.0 / (sigma * (2.0 * std::f64::consts::PI).sqrt())).min(1.0);
            mean += deviations.iter().map(chance).sum::<f64>();
        }
    }
    let mut bound = 0;
    let (mut term, mut below) = ((-mean).exp(), (-mean).exp());
    while 1.0 - below > 1e-9 && term > 1e-18 {
        bound += 1;
        term *= mean / bound as f64;
        below += term;
    }
    (equal, bound)
}

/// The farthest that a share may lie from a number without being one.
fn nearest(recording: &Recording, own: &BTreeMap<&'static str, Own>, kind: Kind) -> u128 {
    let distances = recording.shares.iter().flat_map(|((_, hospital), values)| {
        let exact = &own[hospital].of[&kind];
        assert_eq!(values.len(), exact.len());
        let away = |value: &u128, exact: &i128| value.cast_signed().abs_diff(*exact);
        let all = values.iter().flat_map(move |value| exact.iter().map(move |e| away(value, e)));
        all.collect::<Vec<_>>()
    });
    distances.min().unwrap()
}

/// What both parties' shares say together, which is why they must not collude.
fn together(recording: &Recording, hospital: &'static str) -> Vec<i128> {
    let [one, other] = PARTIES.map(|party| &recording.shares[&(party, hospital)]);
    one.iter().zip(other).map(|(a, b)| a.wrapping_add(*b).cast_signed()).collect()
}

fn bytes_of(recordings: &[Recording]) -> BTreeMap<&'static str, usize> {
    let mut all = BTreeMap::new();
    for (who, messages) in recordings.iter().flat_map(|r| &r.received) {
        *all.entry(*who).or_insert(0) += messages.iter().map(Vec::len).sum::<usize>();
    }
    all
}

#[test]
fn nobody_receives_a_hospitals_own_number_and_the_search_would_find_it() {
    let space = Space::with("200");
    let permit = space.permit_for(COLUMNS);
    let keys = Keys::of(&space, &permit);
    let text = std::fs::read_to_string(space.world.path(HOSPITALS[0]).join("privacy.toml"));
    let profiles = Profiles::parse(&text.unwrap()).unwrap();
    let profile = profiles.of(&"devices".parse::<DatasetId>().unwrap()).unwrap();
    let versions = match &profile.schema.columns[&"os_version".parse().unwrap()] {
        salus_dp::Column::Category(domain) => domain.values().to_vec(),
        other => panic!("{other:?}"),
    };
    let own: BTreeMap<&'static str, Own> =
        HOSPITALS.iter().map(|name| (*name, Own::of(&space, name, &versions))).collect();
    for (name, devices) in HOSPITALS.iter().zip(DEVICES) {
        assert_eq!(own[name].of[&Kind::Count], [i128::from(devices)]);
        let large = own[name].numbers().iter().filter(|n| n.abs() >= LARGE).count();
        assert!(large >= 4, "{name} has {large} numbers of nine digits");
    }
    let asked = (&space, &keys, profile);
    let mut honest = BTreeMap::new();
    for mode in [Mode::Independent, Mode::Joint] {
        for kind in Kind::ALL {
            let recordings: Vec<Recording> = EPSILONS
                .iter()
                .map(|epsilon| record(asked, (kind, mode, epsilon), &permit))
                .collect();
            judge(&recordings, &own, (kind, mode));
            if mode == Mode::Independent {
                honest.insert(kind, recordings[0].deviations.clone());
            }
            if kind == Kind::Sum {
                every_spelling_is_found_in_what_was_recorded(&recordings[0], &own);
            }
        }
    }
    what_is_planted_is_found(asked, &own, &permit);
    without_noise(asked, &own, &permit, &honest);
    drop(keys.runtime);
}

fn judge(recordings: &[Recording], own: &BTreeMap<&'static str, Own>, (kind, mode): (Kind, Mode)) {
    let bytes = bytes_of(recordings);
    let mut receivers = vec!["uni", VALIDATOR];
    if mode == Mode::Joint {
        receivers.extend(PARTIES);
    }
    assert!(receivers.iter().all(|who| bytes.get(who).is_some_and(|n| *n > 1000)), "{bytes:?}");
    let found = search(recordings, own, mode);
    // If all bytes were the same in each recording: the chance that one of the sums' spellings in
    // four bytes, of which there are two, stands among them.
    let all: usize = bytes.values().sum();
    let alpha = 2.0 * own.len() as f64 * all as f64 / recordings.len() as f64 / 2f64.powi(32);
    println!("{kind:?} {mode:?}: {bytes:?} bytes searched; alpha below {alpha:.1e}");
    assert!(found.is_empty(), "{kind:?} {mode:?}: {found:?}");
    match mode {
        Mode::Independent => {
            let noise = (kind, recordings[0].deviations.as_slice());
            let alone = HOSPITALS.iter().map(std::slice::from_ref);
            for hospitals in alone.chain([HOSPITALS.as_slice()]) {
                let (equal, bound) = equal(recordings, (hospitals, own), noise);
                println!(
                    "{kind:?} independent, {hospitals:?}: {equal} noisy numbers are exact, at most {bound} with alpha 1e-9"
                );
                assert!(equal <= bound, "{kind:?}: {equal} noisy numbers are exact, bound {bound}");
            }
        }
        Mode::Joint => {
            for recording in recordings {
                let nearest = nearest(recording, own, kind);
                println!("{kind:?} joint: the nearest share is {nearest} away");
                assert!(nearest > 1 << 64, "{kind:?}: a share is a number");
                // They are shares of these numbers and of no others.
                for (hospital, own) in own {
                    let noisy = together(recording, hospital);
                    // Sixteen standard errors of the widest moment's noise.
                    let near = |(noisy, exact): (&i128, &i128)| noisy.abs_diff(*exact) < 1 << 52;
                    assert!(noisy.iter().zip(&own.of[&kind]).all(near), "{hospital} {kind:?}");
                }
            }
        }
    }
}

/// In the middle of what was really received, each spelling of each number is found.
fn every_spelling_is_found_in_what_was_recorded(
    recording: &Recording,
    own: &BTreeMap<&'static str, Own>,
) {
    let mut planted = 0;
    for (who, messages) in &recording.received {
        let longest = messages.iter().max_by_key(|bytes| bytes.len()).unwrap();
        for needle in own.values().flat_map(|own| own.needles(Mode::Joint)) {
            let (before, after) = longest.split_at(longest.len() / 2);
            let digits = |bytes: &[u8]| bytes.iter().all(|b| !b.is_ascii_digit() && *b != b'.');
            let space: &[u8] = if digits(&needle.bytes) { b"" } else { b" " };
            let message = [before, space, &needle.bytes, space, after].concat();
            assert!(needle.stands_in(&message), "{needle:?} with {who}");
            planted += 1;
        }
    }
    println!("{planted} planted numbers were found");
    assert!(planted > 200);
}

/// A hospital, or whoever speaks for it, says its own number on the way.
fn what_is_planted_is_found(
    asked: (&Space, &Keys, &Profile),
    own: &BTreeMap<&'static str, Own>,
    permit: &str,
) {
    let space = asked.0;
    let sum = own[HOSPITALS[1]].of[&Kind::Sum][0];
    let count = own[HOSPITALS[1]].of[&Kind::Count][0];
    let cases = [
        (HOSPITALS[1], "/v1/questions", "uni", sum, Mode::Independent),
        (PARTIES[0], "/v1/joint/sums", PARTIES[0], sum, Mode::Joint),
        (PARTIES[1], "/v1/joint/check", PARTIES[1], count, Mode::Joint),
        (VALIDATOR, "/v1/transactions", VALIDATOR, count, Mode::Joint),
    ];
    for (number, (at, path, who, value, mode)) in cases.into_iter().enumerate() {
        let planted = Planted { path, value: value.to_string() };
        space.recorders[at].plant(Some(planted));
        let times = if value >= LARGE { 1 } else { EPSILONS.len() };
        let recordings: Vec<Recording> = (0..times)
            .map(|n| {
                let epsilon = format!("0.{}", 600 + 10 * number + n);
                record(asked, (Kind::Count, mode, &epsilon), permit)
            })
            .collect();
        space.recorders[at].plant(None);
        let found = search(&recordings, own, mode);
        println!("planted at {at}: {found:?}");
        assert!(!found.is_empty() && found.iter().all(|f| f.hospital == HOSPITALS[1]), "{found:?}");
        // The answer to the request passes on what was planted, too.
        assert!(found.iter().any(|f| f.who == who), "{found:?}");
    }
}

/// Hospitals whose noise is 0: in independent mode every number is the exact one, and is flagged; in
/// joint mode nobody has a number of any one, noise or not, unless the parties collude.
fn without_noise(
    asked: (&Space, &Keys, &Profile),
    own: &BTreeMap<&'static str, Own>,
    permit: &str,
    honest: &BTreeMap<Kind, Vec<f64>>,
) {
    for kind in [Kind::Count, Kind::Groups] {
        // One hospital's groups are enough to tell, and three counts of each of three.
        let (times, hospitals) = match kind {
            Kind::Groups => (1, &HOSPITALS[..1]),
            _ => (NO_NOISE.len(), &HOSPITALS[..]),
        };
        let recordings: Vec<Recording> = NO_NOISE[..times]
            .iter()
            .map(|epsilon| record(asked, (kind, Mode::Independent, epsilon), permit))
            .collect();
        let (equal, bound) = equal(&recordings, (hospitals, own), (kind, &honest[&kind]));
        println!("{kind:?} without noise: {equal} numbers are exact, at most {bound} with noise");
        assert!(equal > bound, "{equal} {bound}");
        let recordings = [record(asked, (kind, Mode::Joint, NO_NOISE[0]), permit)];
        assert!(nearest(&recordings[0], own, kind) > 1 << 64);
        for (hospital, own) in own {
            let all = together(&recordings[0], hospital);
            let near =
                all.iter().zip(&own.of[&kind]).all(|(noisy, exact)| (noisy - exact).abs() < 8);
            assert!(near, "{hospital}: {all:?}");
        }
        let wanted = own[HOSPITALS[0]].needles(Mode::Joint);
        let long = wanted.iter().filter(|needle| needle.bytes.len() >= 6);
        let received = recordings[0].received.values().flatten().collect::<Vec<_>>();
        for needle in long {
            assert!(!received.iter().any(|bytes| needle.stands_in(bytes)), "{needle:?}");
        }
    }
}
