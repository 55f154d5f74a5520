//! Joint and independent answers over three hospitals, with everything recorded that the hub gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use salus_crypto::hpke::RecipientKey;
use salus_crypto::{Digest, OsEntropy, SigningKey};
use salus_dp::joint::Share;
use salus_dp::{
    Bounds, Column, ContributionBound, Domain, Edges, Field, Mechanism, Noised, NoisedParts,
    Partial, Plan, PrivacyUnit, Query, Rank, RowsPerUnit, Schema, Spend, UnitKey, plan,
};
use salus_model::{ColumnPath, HolderId, MicroRho, Secret};
use salus_private::joint::{
    Contribution, Directory, Gathering, HolderPolicy, Invitation, JointRefused, Party, RevealLog,
    Revealed, SealedShare, SumWanted,
};
use salus_private::several::{HolderOutcome, MissingReason, SeveralError, combine};
use salus_spine::Authority;

const HOSPITALS: [&str; 3] = ["st-anna", "st-berta", "st-clara"];
/// Devices at each; numbers that are easily told apart in a recording.
const DEVICES: [u64; 3] = [111_111, 222_222, 333_333];

fn column(name: &str) -> ColumnPath {
    name.parse().unwrap()
}

fn hospital(at: usize) -> HolderId {
    HOSPITALS[at].parse().unwrap()
}

fn schema() -> Schema {
    let words = |list: &[&str]| {
        Column::Category(Domain::new(list.iter().map(|w| (*w).to_owned()).collect()).unwrap())
    };
    let number = |high| Column::Number(Bounds::new(0.0, high, 0).unwrap());
    let columns =
        [("os", words(&["a", "b", "c"])), ("battery", number(100.0)), ("hours", number(1000.0))];
    Schema {
        unit: PrivacyUnit::Device,
        contribution: ContributionBound::ONE_ROW,
        rows_per_unit: RowsPerUnit::One,
        columns: columns.into_iter().map(|(n, c)| (column(n), c)).collect(),
    }
}

const RHO: MicroRho = MicroRho::new(50_000);

fn plan_of(query: &Query) -> Plan {
    plan(query, &schema(), Spend::Rho(RHO), Mechanism::Gaussian).unwrap()
}

fn device(i: u64) -> (&'static str, f64, f64) {
    let os = ["a", "b", "c"][(i % 3) as usize];
    let hours = (i * 37 % 1001) as f64;
    (os, (20.0 + hours * 0.05 + (i % 7) as f64).min(100.0), hours)
}

/// `n` devices seen by a partial of a question over these columns.
fn observe(partial: &mut Partial, columns: &[ColumnPath], n: u64) {
    for i in 0..n {
        let (os, battery, hours) = device(i);
        let fields: Vec<Field<'_>> = columns
            .iter()
            .map(|c| match c.as_str() {
                "os" => Field::Text(os),
                "battery" => Field::Number(battery),
                _ => Field::Number(hours),
            })
            .collect();
        partial.observe(UnitKey::new(0), &fields).unwrap();
    }
}

/// Everything that the hub receives, byte by byte.
#[derive(Default)]
struct Recording(Vec<Vec<u8>>);

impl Recording {
    fn note<T: serde::Serialize>(&mut self, message: &T) {
        self.0.push(serde_json::to_vec(message).unwrap());
    }

    /// Whether a number is there: as text, or in 16, 8 or 4 bytes of either order, in the messages
    /// themselves or in the byte arrays that their JSON holds.
    fn holds(&self, number: i128) -> bool {
        let mut forms = vec![number.to_string().into_bytes()];
        forms.push(number.to_le_bytes().to_vec());
        forms.push(number.to_be_bytes().to_vec());
        if let Ok(small) = i64::try_from(number) {
            forms.push(small.to_le_bytes().to_vec());
            forms.push(small.to_be_bytes().to_vec());
        }
        let wide = number.cast_unsigned().to_string().into_bytes();
        forms.push(wide);
        let within = |bytes: &[u8], form: &[u8]| bytes.windows(form.len()).any(|w| w == form);
        self.0.iter().any(|message| {
            let inner: Vec<Vec<u8>> = serde_json::from_slice::<serde_json::Value>(message)
                .map(|value| byte_arrays(&value))
                .unwrap_or_default();
            let inner_has = inner.iter().any(|bytes| forms.iter().any(|f| within(bytes, f)));
            // A short number may stand in a long one by chance; text counts between other signs.
            let text = String::from_utf8_lossy(message);
            let spelt = [number.to_string(), number.cast_unsigned().to_string()];
            let as_text = spelt.iter().any(|digits| {
                text.match_indices(digits.as_str()).any(|(at, _)| {
                    let before = text[..at].chars().next_back();
                    let after = text[at + digits.len()..].chars().next();
                    !before.is_some_and(|c| c.is_ascii_digit())
                        && !after.is_some_and(|c| c.is_ascii_digit())
                })
            });
            inner_has || as_text
        })
    }
}

fn byte_arrays(value: &serde_json::Value) -> Vec<Vec<u8>> {
    match value {
        serde_json::Value::Array(entries) => {
            let bytes: Option<Vec<u8>> =
                entries.iter().map(|e| e.as_u64().and_then(|n| u8::try_from(n).ok())).collect();
            let mut found: Vec<Vec<u8>> = entries.iter().flat_map(byte_arrays).collect();
            found.extend(bytes.filter(|b| b.len() > 8));
            found
        }
        serde_json::Value::Object(fields) => fields.values().flat_map(byte_arrays).collect(),
        _ => Vec::new(),
    }
}

/// What a party has revealed, in memory; a party that is made anew over it has not forgotten.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<Digest, Revealed>>);

impl RevealLog for Memory {
    fn first(&self, invitation: &Digest, revealed: &Revealed) -> std::io::Result<Revealed> {
        Ok(self.0.lock().entry(*invitation).or_insert_with(|| revealed.clone()).clone())
    }

    fn look(&self, invitation: &Digest) -> std::io::Result<Option<Revealed>> {
        Ok(self.0.lock().get(invitation).cloned())
    }
}

struct World {
    known: Directory,
    authorities: Vec<Arc<Authority>>,
    policy: HolderPolicy,
    memories: Vec<Arc<Memory>>,
    keys: Vec<RecipientKey>,
}

fn party_key(at: u8) -> RecipientKey {
    RecipientKey::from_secret(&Secret::new([at + 1; 32])).unwrap()
}

fn authority(at: usize) -> Arc<Authority> {
    let key = SigningKey::from_secret(&Secret::new([at as u8 + 40; 32]));
    Arc::new(Authority::new(hospital(at), key))
}

fn world(parties: u8) -> World {
    let keys: Vec<RecipientKey> = (0..parties).map(party_key).collect();
    let named = |(at, key): (usize, &RecipientKey)| {
        (format!("party-{at}").parse().unwrap(), key.public_key())
    };
    World {
        known: (0..3).map(|at| (hospital(at), *authority(at).verifier().key())).collect(),
        authorities: (0..3).map(authority).collect(),
        policy: HolderPolicy {
            fewest_honest: 2,
            parties: keys.iter().enumerate().map(named).collect(),
        },
        memories: keys.iter().map(|_| Arc::default()).collect(),
        keys,
    }
}

impl World {
    /// An invitation of all three, of whom one may fail.
    fn invitation(&self, round: &str) -> Invitation {
        Invitation {
            round: round.parse().unwrap(),
            question: Digest::of(b"how many"),
            holders: (0..3).map(hospital).collect(),
            dishonest: 1,
            unit_holders: 1,
            most_rows: 1_000_000,
            parties: self.keys.iter().map(RecipientKey::public_key).collect(),
        }
    }

    /// A party as the next process has it: with its key and its memory.
    fn party(&self, at: usize) -> Party {
        let log: Arc<dyn RevealLog> = self.memories[at].clone();
        Party::new(party_key(at as u8), self.known.clone(), log)
    }

    fn shares(
        &self,
        at: usize,
        invitation: &Invitation,
        query: &Query,
        n: u64,
    ) -> Result<Vec<SealedShare>, JointRefused> {
        let question = plan_of(query);
        let columns = question.columns().to_vec();
        let (me, authority) = (hospital(at), Arc::clone(&self.authorities[at]));
        let invitation = invitation.clone();
        let mine = Contribution::accept(invitation, &self.policy, &me, question, authority)?;
        let mut partial = mine.partial();
        observe(&mut partial, &columns, n);
        mine.shares(partial, &mut OsEntropy)
    }

    /// Runs a round; `absent` holders send nothing. The answer, and the recording of all that
    /// whoever asks got.
    fn run(
        &self,
        invitation: Invitation,
        query: &Query,
        absent: &[usize],
        rows: [u64; 3],
    ) -> (Result<Noised, JointRefused>, Recording) {
        let mut recording = Recording::default();
        let mut gathering = Gathering::new(invitation.clone());
        for (at, n) in rows.into_iter().enumerate() {
            if absent.contains(&at) {
                gathering.fail(&hospital(at));
                continue;
            }
            let shares = self.shares(at, &invitation, query, n).unwrap();
            recording.note(&shares);
            gathering.give(&hospital(at), shares).unwrap();
        }
        let mut sums: Vec<Share> = Vec::new();
        for party in 0..self.keys.len() {
            let wanted = match gathering.wanted(party as u8) {
                Ok(wanted) => wanted,
                Err(refused) => return (Err(refused), recording),
            };
            self.party(party).check(&wanted).unwrap();
            let sum = self.party(party).reveal(&wanted).unwrap();
            recording.note(&sum);
            sums.push(sum);
        }
        (gathering.total(plan_of(query), &sums), recording)
    }
}

fn kinds() -> Vec<Query> {
    let battery = Bounds::new(0.0, 100.0, 0).unwrap();
    let (x, y) = (column("hours"), column("battery"));
    vec![
        Query::Count,
        Query::DistinctUnits,
        Query::GroupedCount { keys: vec![column("os")], threshold_delta: None },
        Query::TopK { keys: vec![column("os")], k: 2, threshold_delta: None },
        Query::Sum { column: y.clone() },
        Query::Mean { column: y.clone() },
        Query::Variance { column: y.clone() },
        Query::Minimum { column: y.clone() },
        Query::Maximum { column: y.clone() },
        Query::Quantiles { column: y.clone(), ranks: vec![Rank::new(0.5).unwrap()] },
        Query::Histogram { column: y.clone(), edges: Edges::equal(battery, 5).unwrap() },
        Query::LinearRegression { x, y },
    ]
}

/// The exact numbers of a holder, or of all of them, in the plan's order.
fn exact(query: &Query, rows: &[u64]) -> Vec<i128> {
    let endless = Spend::Rho(MicroRho::new(u64::MAX));
    let plan = plan(query, &schema(), endless, Mechanism::Gaussian).unwrap();
    let columns = plan.columns().to_vec();
    let mut partial = plan.partial();
    rows.iter().for_each(|n| observe(&mut partial, &columns, *n));
    plan.execute(partial).unwrap().numbers().to_vec()
}

#[test]
fn a_recording_of_all_that_the_asker_gets_holds_no_hospitals_own_number() {
    // Counts at each hospital, and the groups' counts, as exact numbers that must not show.
    for query in [
        Query::Count,
        Query::GroupedCount { keys: vec![column("os")], threshold_delta: None },
        Query::Mean { column: column("battery") },
    ] {
        let rows = [111_111, 222_222, 333_333];
        let world = world(2);
        let (noised, recording) = world.run(world.invitation("round-1"), &query, &[], rows);
        let noised = noised.unwrap();
        for n in rows {
            for number in exact(&query, &[n]) {
                assert!(!recording.holds(number), "{query:?}: {number} is in the recording");
            }
        }
        // The search finds what is there: a party's sum, which whoever asks does get.
        let share: serde_json::Value = serde_json::from_slice(recording.0.last().unwrap()).unwrap();
        let sent = share["values"][0].to_string().parse::<u128>().unwrap().cast_signed();
        assert!(recording.holds(sent));
        // And a hospital that sent its number in the clear would be found.
        let mut leaking = Recording::default();
        let own = exact(&query, &rows[..1])[0];
        leaking.note(&serde_json::json!({ "holder": HOSPITALS[0], "value": own.to_string() }));
        assert!(leaking.holds(own));
        let mut bytes = Recording::default();
        bytes.note(&own.to_le_bytes().to_vec());
        assert!(bytes.holds(own));
        // The total is there with its noise: ρ = 0.05 at sensitivity 1, sized for two of three, is a
        // deviation of 3.9; ten of them miss once in 10^23.
        if query == Query::Count {
            let error = noised.numbers()[0] - 666_666;
            println!("error of the total {error}, bound 39");
            assert!(error.abs() < 39);
        }
    }
}

#[test]
fn joint_answers_of_every_kind_are_near_the_central_one() {
    let rows = [DEVICES[0] / 100, DEVICES[1] / 100, DEVICES[2] / 100];
    for query in kinds() {
        let world = world(3);
        let (noised, _) = world.run(world.invitation("round-1"), &query, &[], rows);
        let noised = noised.unwrap();
        let exact = exact(&query, &rows);
        let noises: Vec<f64> = noised
            .noises()
            .map(|terms| terms.iter().map(|n| n.variance()).sum::<f64>().sqrt())
            .collect();
        for ((found, exact), deviation) in noised.numbers().iter().zip(&exact).zip(noises) {
            // Seven deviations are missed once in 10^11 numbers.
            let error = (found - exact) as f64;
            assert!(error.abs() <= 7.0 * deviation + 1.0, "{query:?}: {error} of {deviation}");
        }
    }
}

#[test]
fn a_failed_hospital_is_left_out_and_more_than_that_fail_clearly() {
    let rows = [1000, 2000, 3000];
    let world = world(2);
    let (noised, _) = world.run(world.invitation("round-1"), &Query::Count, &[1], rows);
    let noised = noised.unwrap();
    let error = noised.numbers()[0] - 4000;
    // Two of three carry a deviation of 3.2; twelve of them.
    assert!(error.abs() < 39, "{error}");
    assert_eq!(noised.sources(), 2);
    let (failed, _) = world.run(world.invitation("round-2"), &Query::Count, &[0, 1], rows);
    let said = failed.unwrap_err();
    assert!(matches!(said, JointRefused::TooFew { found: 1, wanted: 2 }), "{said}");
    // An invitation that lets nobody fail does so at the first.
    let mut strict = world.invitation("round-3");
    strict.dishonest = 0;
    let (failed, _) = world.run(strict, &Query::Count, &[2], rows);
    let said = failed.unwrap_err();
    assert!(matches!(said, JointRefused::TooFew { found: 2, wanted: 3 }), "{said}");
}

#[test]
fn a_party_reveals_one_sum_for_an_invitation_for_ever() {
    let world = world(2);
    let invitation = world.invitation("round-1");
    let shares: Vec<Vec<SealedShare>> =
        (0..3).map(|at| world.shares(at, &invitation, &Query::Count, 100).unwrap()).collect();
    let gathered = |of: &[usize]| {
        let mut gathering = Gathering::new(invitation.clone());
        of.iter().for_each(|at| gathering.give(&hospital(*at), shares[*at].clone()).unwrap());
        gathering
    };
    let (of_three, of_two) = (gathered(&[0, 1, 2]), gathered(&[1, 2]));
    assert_eq!(world.party(0).revealed(&invitation).unwrap(), None);
    let sum = world.party(0).reveal(&of_three.wanted(0).unwrap()).unwrap();
    // The difference of the two totals would be one hospital's number; the next process of the party
    // has not forgotten either.
    let refused = world.party(0).reveal(&of_two.wanted(0).unwrap()).unwrap_err();
    assert!(matches!(refused, JointRefused::Revealed), "{refused}");
    let named = world.party(0).revealed(&invitation).unwrap();
    assert_eq!(named, Some((0..3).map(hospital).collect()));
    // The same sum again is the same sum.
    assert_eq!(world.party(0).reveal(&of_three.wanted(0).unwrap()).unwrap(), sum);
    // A holder that made its shares anew, over other rows, does not get a second sum either.
    let mut altered = of_three.clone();
    let anew = world.shares(0, &invitation, &Query::Count, 101).unwrap();
    altered.give(&hospital(0), anew).unwrap();
    let refused = world.party(0).reveal(&altered.wanted(0).unwrap()).unwrap_err();
    assert!(matches!(refused, JointRefused::Revealed), "{refused}");
    // Sums of different sets of holders do not open.
    let other = world.party(1).reveal(&of_two.wanted(1).unwrap()).unwrap();
    assert!(of_three.total(plan_of(&Query::Count), &[sum, other]).is_err());
    // A party that cannot write down what it reveals reveals nothing.
    struct FullDisk;
    impl RevealLog for FullDisk {
        fn first(&self, _: &Digest, _: &Revealed) -> std::io::Result<Revealed> {
            Err(std::io::Error::other("full"))
        }

        fn look(&self, _: &Digest) -> std::io::Result<Option<Revealed>> {
            Ok(None)
        }
    }
    let party = Party::new(party_key(0), world.known.clone(), Arc::new(FullDisk));
    let refused = party.reveal(&of_three.wanted(0).unwrap()).unwrap_err();
    assert!(matches!(refused, JointRefused::Log(_)), "{refused}");
}

#[test]
fn shares_that_are_not_the_holders_own_are_refused() {
    let world = world(2);
    let invitation = world.invitation("round-1");
    let shares: Vec<Vec<SealedShare>> =
        (0..3).map(|at| world.shares(at, &invitation, &Query::Count, 100).unwrap()).collect();
    let wanted = |first: &SealedShare, invitation: &Invitation| SumWanted {
        invitation: invitation.clone(),
        holders: (0..3).map(hospital).collect(),
        shares: vec![first.clone(), shares[1][0].clone(), shares[2][0].clone()],
    };
    let refused = |share: &SealedShare| {
        let said = world.party(0).reveal(&wanted(share, &invitation)).unwrap_err();
        assert!(
            matches!(&said, JointRefused::Share { holder } if *holder == hospital(0)),
            "{said}"
        );
    };
    // For another party, and altered in any part.
    refused(&shares[0][1]);
    let mut moved = shares[0][1].clone();
    moved.party = 0;
    refused(&moved);
    let json = serde_json::to_value(&shares[0][0]).unwrap();
    for field in ["sealed", "signature"] {
        for at in [0usize, 20] {
            let mut altered = json.clone();
            let byte = altered[field][at].as_u64().unwrap();
            altered[field][at] = serde_json::json!(byte ^ 1);
            refused(&serde_json::from_value(altered).unwrap());
        }
    }
    // As another holder: two of one, and none of the other.
    let mut renamed = shares[0][0].clone();
    renamed.holder = hospital(1);
    let said = world.party(0).reveal(&wanted(&renamed, &invitation)).unwrap_err();
    assert!(matches!(said, JointRefused::TooFew { .. }), "{said}");
    // Made by somebody who has not the holder's key.
    let eve = Arc::new(Authority::new(hospital(0), SigningKey::generate(&mut OsEntropy).unwrap()));
    let question = plan_of(&Query::Count);
    let (policy, me) = (&world.policy, hospital(0));
    let forged = Contribution::accept(invitation.clone(), policy, &me, question, eve).unwrap();
    let partial = forged.partial();
    refused(&forged.shares(partial, &mut OsEntropy).unwrap()[0]);
    // Of another invitation: another round, or another set of holders.
    let other = world.invitation("round-2");
    let said = world.party(0).reveal(&wanted(&shares[0][0], &other)).unwrap_err();
    assert!(matches!(said, JointRefused::Share { .. }), "{said}");
    let mut fewer = invitation.clone();
    fewer.holders.remove(&hospital(2));
    let pair = SumWanted {
        invitation: fewer,
        holders: (0..2).map(hospital).collect(),
        shares: vec![shares[0][0].clone(), shares[1][0].clone()],
    };
    let said = world.party(0).reveal(&pair).unwrap_err();
    assert!(matches!(said, JointRefused::Share { .. }), "{said}");
    // One alone, which would be that hospital's own number.
    let alone = SumWanted {
        invitation: invitation.clone(),
        holders: BTreeSet::from([hospital(0)]),
        shares: vec![shares[0][0].clone()],
    };
    let said = world.party(0).reveal(&alone).unwrap_err();
    assert!(matches!(said, JointRefused::TooFew { found: 1, wanted: 2 }), "{said}");
    // A holder that nobody knows, and a party that is not invited.
    let mut invented = wanted(&shares[0][0], &invitation);
    invented.invitation.holders.insert("st-nobody".parse().unwrap());
    let said = world.party(0).reveal(&invented).unwrap_err();
    assert!(matches!(said, JointRefused::NotInvited), "{said}");
    let stranger = Party::new(party_key(9), world.known.clone(), world.memories[0].clone());
    let said = stranger.reveal(&wanted(&shares[0][0], &invitation)).unwrap_err();
    assert!(matches!(said, JointRefused::NotInvited), "{said}");
    // None of it was revealed, and what is right is.
    assert_eq!(world.party(0).revealed(&invitation).unwrap(), None);
    world.party(0).reveal(&wanted(&shares[0][0], &invitation)).unwrap();
    // Whoever gathers sees at once that shares are not one for each party.
    let mut gathering = Gathering::new(invitation);
    assert!(gathering.give(&hospital(0), shares[0][..1].to_vec()).is_err());
    assert!(gathering.give(&hospital(1), shares[2].clone()).is_err());
    assert_eq!(*gathering.failed(), BTreeSet::from([hospital(0), hospital(1)]));
}

#[test]
fn holders_look_at_what_they_are_invited_to() {
    let world = world(2);
    let good = world.invitation("round-1");
    let accept = |invitation: Invitation| world.shares(0, &invitation, &Query::Count, 10);
    accept(good.clone()).unwrap();
    let mut without = good.clone();
    without.holders.remove(&hospital(0));
    assert!(matches!(accept(without), Err(JointRefused::NotInvited)));
    let mut trusting = good.clone();
    trusting.dishonest = 2;
    let few = JointRefused::TooFewHonest { found: 1, wanted: 2 }.to_string();
    assert_eq!(accept(trusting).unwrap_err().to_string(), few);
    let mut one_party = good.clone();
    one_party.parties = vec![good.parties[0].clone(); 2];
    assert!(matches!(accept(one_party), Err(JointRefused::Joint(_))));
    let mut alone = good.clone();
    alone.parties.truncate(1);
    assert!(matches!(accept(alone), Err(JointRefused::Joint(_))));
    // Whoever asks would like to be both parties.
    let mut own = good.clone();
    own.parties[1] = RecipientKey::generate(&mut OsEntropy).unwrap().public_key();
    let said = accept(own).unwrap_err();
    assert!(matches!(said, JointRefused::ForeignParty { .. }), "{said}");
    // Patients go to more than one hospital, and the noise has to be for that.
    let patients =
        Schema { unit: PrivacyUnit::Patient, rows_per_unit: RowsPerUnit::Many, ..schema() };
    let accept = |unit_holders| {
        let question =
            plan(&Query::Count, &patients, Spend::Rho(RHO), Mechanism::Gaussian).unwrap();
        let invitation = Invitation { unit_holders, ..good.clone() };
        let authority = Arc::clone(&world.authorities[0]);
        Contribution::accept(invitation, &world.policy, &hospital(0), question, authority)
    };
    assert!(matches!(accept(1), Err(JointRefused::UnitHolders { holders: 3 })));
    accept(3).unwrap();
}

#[test]
fn a_false_share_out_of_range_releases_nothing() {
    let world = world(2);
    let mut invitation = world.invitation("round-1");
    invitation.most_rows = 1000;
    // The third hospital claims a million devices where the catalogue knows of a thousand.
    let (total, _) = world.run(invitation, &Query::Count, &[], [100, 200, 1_000_000]);
    let said = total.unwrap_err();
    assert!(matches!(said, JointRefused::Joint(_)), "{said}");
    assert!(said.to_string().contains("out of range"), "{said}");
}

/// One party's view of a hospital is uniform: told apart from noise by nothing.
#[test]
fn one_partys_shares_are_uniform_whatever_the_rows() {
    let world = world(2);
    let runs: usize = 400;
    for rows in [0, 10_000] {
        let mut counts = [0u32; 256];
        for run in 0..runs {
            let invitation = world.invitation(&format!("round-{rows}-{run}"));
            let party = run % 2;
            let mut gathering = Gathering::new(invitation.clone());
            for at in 0..3 {
                let mine = if at == 0 { rows } else { 0 };
                let shares = world.shares(at, &invitation, &Query::Count, mine).unwrap();
                gathering.give(&hospital(at), shares).unwrap();
            }
            let sum = world.party(party).reveal(&gathering.wanted(party as u8).unwrap()).unwrap();
            let sum = serde_json::to_value(sum).unwrap();
            let value = sum["values"][0].to_string().parse::<u128>().unwrap();
            value.to_le_bytes().iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        }
        let expected = (runs * 16) as f64 / 256.0;
        let chi: f64 = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: above 390 or below 150 less than once in 10^6 runs.
        println!(
            "uniform shares at {rows} rows: n {}, χ² {chi:.1}, [150, 390], alpha 1e-6",
            runs * 16
        );
        assert!((150.0..390.0).contains(&chi));
    }
}

fn parts(query: &Query, rows: u64) -> NoisedParts {
    let plan = plan_of(query);
    let columns = plan.columns().to_vec();
    let mut partial = plan.partial();
    observe(&mut partial, &columns, rows);
    plan.execute(partial).unwrap().into_parts()
}

#[test]
fn independent_answers_of_every_kind_are_put_together_and_name_who_is_missing() {
    let rows = [4000u64, 5000, 6000];
    for query in kinds() {
        let mut outcomes: BTreeMap<HolderId, HolderOutcome> = (0..3)
            .map(|at| (hospital(at), HolderOutcome::Answered(parts(&query, rows[at]))))
            .collect();
        let plan = plan_of(&query);
        let all = combine(&plan, outcomes.clone(), 1).unwrap();
        assert_eq!((all.holders.len(), all.missing.len()), (3, 0));
        // Ratios are those of the summed moments, so the error is the noise's alone.
        let endless = Spend::Rho(MicroRho::new(u64::MAX));
        let exact_plan = salus_dp::plan(&query, &schema(), endless, Mechanism::Gaussian).unwrap();
        let columns = exact_plan.columns().to_vec();
        let mut partial = exact_plan.partial();
        rows.iter().for_each(|n| observe(&mut partial, &columns, *n));
        let exact = exact_plan.execute(partial).unwrap().answer();
        for (found, exact) in all.answer.rows.iter().zip(&exact.rows) {
            let (found, truth) = (found.estimate.unwrap(), exact.estimate.unwrap().value);
            let reach = 2.0 * (found.upper - found.lower);
            assert!(
                (found.value - truth).abs() <= reach,
                "{query:?} {}: {found:?} for {truth}",
                exact.name
            );
        }
        // One refuses, and one answers another question.
        outcomes.insert(hospital(0), HolderOutcome::Missing(MissingReason::Refused));
        let other = Query::Histogram {
            column: column("hours"),
            edges: Edges::equal(Bounds::new(0.0, 1000.0, 0).unwrap(), 7).unwrap(),
        };
        outcomes.insert(hospital(2), HolderOutcome::Answered(parts(&other, 10)));
        let one = combine(&plan, outcomes.clone(), 1).unwrap();
        assert_eq!(one.holders, [hospital(1)]);
        let missing: Vec<_> = one.missing.iter().map(|m| (m.holder.clone(), m.reason)).collect();
        let wanted =
            [(hospital(0), MissingReason::Refused), (hospital(2), MissingReason::OtherQuestion)];
        assert_eq!(missing, wanted);
        let too_few = combine(&plan, outcomes, 2).unwrap_err();
        assert_eq!(too_few, SeveralError::TooFew { answered: 1, wanted: 2 });
    }
}

/// Joint against independent over three hospitals: the error's factor is √3.
#[test]
fn joint_error_is_that_of_one_dataset_and_independent_error_that_of_three() {
    let runs: usize = 300;
    let rows = [50u64, 60, 70];
    let world = world(2);
    let joint: Vec<f64> = (0..runs)
        .map(|run| {
            let invitation = world.invitation(&format!("r{run}"));
            let (noised, _) = world.run(invitation, &Query::Count, &[], rows);
            (noised.unwrap().numbers()[0] - 180) as f64
        })
        .collect();
    let independent: Vec<f64> = (0..runs)
        .map(|_| {
            let answers = rows.iter().map(|n| {
                let parts = parts(&Query::Count, *n);
                plan_of(&Query::Count).adopt(parts).unwrap()
            });
            (Noised::combine(answers).unwrap().numbers()[0] - 180) as f64
        })
        .collect();
    let deviation =
        |errors: &[f64]| (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
    let central = (1.0f64 / (2.0 * 0.05)).sqrt();
    let (joint, independent) = (deviation(&joint), deviation(&independent));
    // 300 runs: the measured deviation is within 20 % of the true one but once in 10^6 runs. Sized
    // for two of three, the joint one is 1.22 times the central one.
    println!(
        "n {runs}: central {central:.2}, joint {joint:.2}, independent {independent:.2}, alpha 1e-6"
    );
    assert!((joint / (central * 1.5f64.sqrt()) - 1.0).abs() < 0.2);
    assert!((independent / (central * 3f64.sqrt()) - 1.0).abs() < 0.2);
}
