#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use salus_crypto::{OsEntropy, SigningKey};
use salus_model::{ColumnPath, DatasetId, DealId, HolderId, Purpose, RoleName, StaffId, Timestamp};

use crate::*;

const START: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:05:00Z";
const END: &str = "2026-01-01T00:10:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn authority(holder: &str) -> Authority {
    Authority::new(HolderId::new(holder).unwrap(), SigningKey::generate(&mut OsEntropy).unwrap())
}

fn scope(holder: &str, deal: &str) -> Scope {
    Scope::new(HolderId::new(holder).unwrap(), DealId::new(deal).unwrap())
}

fn grant(deal: &str) -> CareGrant {
    let access = CareAccess {
        columns: [ColumnPath::new("a").unwrap()].into(),
        masked: [ColumnPath::new("b").unwrap()].into(),
        rules: vec![RowRule::SubjectIn {
            column: ColumnPath::new("patient").unwrap(),
            subjects: SubjectSet::new(["p1".to_owned()]),
        }],
    };
    CareGrant {
        scope: scope("st-mary", deal),
        staff: StaffId::new("Ann Dietitian").unwrap(),
        role: RoleName::new("dietitian").unwrap(),
        purpose: Purpose::Treatment,
        datasets: BTreeMap::from([(DatasetId::new("meals").unwrap(), access)]),
        issued: at(START),
        expires: at(END),
    }
}

fn premises(deal: &str) -> PremisesStatement {
    PremisesStatement { scope: scope("st-mary", deal), issued: at(START), expires: at(END) }
}

fn key_release(signer: &Authority, deal: &str) -> KeyRelease<Care> {
    let verifier = signer.verifier();
    let grant = signer.sign(grant(deal));
    let permit = PermitChecked::verify(&grant, &verifier, at(LATER)).unwrap();
    let rows = CareRestricted::bind(&grant, &verifier, at(LATER)).unwrap();
    let place = signer.sign(premises(deal));
    let place = Place::Premises(OnPremises::verify(&place, &verifier, at(LATER)).unwrap());
    authorise(permit, rows, place).unwrap()
}

#[test]
fn a_release_carries_what_the_grant_says() {
    let release = key_release(&authority("st-mary"), "s1");
    let access = release.access(&DatasetId::new("meals").unwrap()).unwrap();
    assert!(access.columns().contains(&ColumnPath::new("a").unwrap()));
    assert!(access.masked().contains(&ColumnPath::new("b").unwrap()));
    let rules = access.rules(None).unwrap();
    assert!(rules[0].admits(Some("p1")));
    assert!(!rules[0].admits(Some("p2")));
    assert!(!rules[0].admits(None));
    assert!(release.access(&DatasetId::new("billing").unwrap()).is_none());
}

#[test]
fn a_forged_grant_makes_no_token() {
    let (signer, forger) = (authority("st-mary"), authority("st-mary"));
    let forged = forger.sign(grant("s1"));
    let refused = PermitChecked::verify(&forged, &signer.verifier(), at(LATER)).unwrap_err();
    assert_eq!(refused, StatementRefused::Signature);
    assert!(CareRestricted::bind(&forged, &signer.verifier(), at(LATER)).is_err());
}

#[test]
fn every_altered_field_breaks_the_signature() {
    let signer = authority("st-mary");
    let signature = signer.sign(grant("s1")).signature();
    let mut altered: Vec<(&str, CareGrant)> = Vec::new();
    let mut alter = |what, change: &dyn Fn(&mut CareGrant)| {
        let mut g = grant("s1");
        change(&mut g);
        altered.push((what, g));
    };
    let meals = DatasetId::new("meals").unwrap();
    alter("deal", &|g| g.scope = scope("st-mary", "s2"));
    alter("staff", &|g| g.staff = StaffId::new("Bob").unwrap());
    alter("role", &|g| g.role = RoleName::new("physician").unwrap());
    alter("purpose", &|g| g.purpose = Purpose::Payment);
    alter("issued", &|g| g.issued = g.issued.saturating_add_micros(-1));
    alter("expires", &|g| g.expires = g.expires.saturating_add_micros(1));
    alter("columns", &|g| {
        g.datasets.get_mut(&meals).unwrap().columns.insert(ColumnPath::new("c").unwrap());
    });
    alter("masked", &|g| g.datasets.get_mut(&meals).unwrap().masked.clear());
    alter("moved column", &|g| {
        let access = g.datasets.get_mut(&meals).unwrap();
        access.columns.append(&mut access.masked);
    });
    alter("rules", &|g| g.datasets.get_mut(&meals).unwrap().rules.clear());
    alter("rule kind", &|g| {
        g.datasets.get_mut(&meals).unwrap().rules = vec![RowRule::SubjectNotIn {
            column: ColumnPath::new("patient").unwrap(),
            subjects: SubjectSet::new(["p1".to_owned()]),
        }];
    });
    alter("subjects", &|g| {
        g.datasets.get_mut(&meals).unwrap().rules = vec![RowRule::SubjectIn {
            column: ColumnPath::new("patient").unwrap(),
            subjects: SubjectSet::new(["p1".to_owned(), "p2".to_owned()]),
        }];
    });
    alter("dataset", &|g| {
        let access = g.datasets.remove(&meals).unwrap();
        g.datasets.insert(DatasetId::new("billing").unwrap(), access);
    });
    for (what, statement) in altered {
        let signed = SignedStatement::new(statement, signature);
        let refused = PermitChecked::verify(&signed, &signer.verifier(), at(LATER)).err();
        assert_eq!(refused, Some(StatementRefused::Signature), "{what}");
    }
}

#[test]
fn a_grant_holds_only_in_its_time_for_its_holder_and_for_care() {
    let signer = authority("st-mary");
    let signed = signer.sign(grant("s1"));
    let verify = |now: &str| PermitChecked::verify(&signed, &signer.verifier(), at(now)).err();
    assert_eq!(
        verify("2025-12-31T23:59:59Z"),
        Some(StatementRefused::NotYetValid { from: at(START) })
    );
    assert_eq!(verify(END), Some(StatementRefused::Expired { until: at(END) }));
    assert_eq!(verify(START), None);

    let other = authority("st-john");
    let refused = PermitChecked::verify(&signed, &other.verifier(), at(LATER)).unwrap_err();
    assert!(matches!(refused, StatementRefused::OtherHolder { .. }));

    let research = signer.sign(CareGrant { purpose: Purpose::Research, ..grant("s1") });
    let refused = PermitChecked::verify(&research, &signer.verifier(), at(LATER)).unwrap_err();
    assert_eq!(refused, StatementRefused::NotCare(Purpose::Research));
}

#[test]
fn a_statement_of_one_kind_is_none_of_another() {
    let signer = authority("st-mary");
    let premises = signer.sign(premises("s1"));
    let as_grant = SignedStatement::new(grant("s1"), premises.signature());
    assert!(PermitChecked::verify(&as_grant, &signer.verifier(), at(LATER)).is_err());
}

#[test]
fn tokens_of_two_deals_do_not_mix() {
    let signer = authority("st-mary");
    let verifier = signer.verifier();
    let now = at(LATER);
    let (one, two) = (signer.sign(grant("s1")), signer.sign(grant("s2")));
    let place = |deal| {
        let place = signer.sign(premises(deal));
        Place::Premises(OnPremises::verify(&place, &verifier, now).unwrap())
    };
    let permit = || PermitChecked::verify(&one, &verifier, now).unwrap();
    let other_rows = CareRestricted::bind(&two, &verifier, now).unwrap();
    assert!(matches!(authorise(permit(), other_rows, place("s1")), Err(AuthoriseError::Scope(_))));
    let rows = CareRestricted::bind(&one, &verifier, now).unwrap();
    assert!(matches!(authorise(permit(), rows, place("s2")), Err(AuthoriseError::Scope(_))));
}

fn recorded(signer: &Authority, deal: &str) -> AccessRecorded {
    let head = salus_crypto::Digest::of(b"head");
    let record = signer.sign(AccessRecord { scope: scope("st-mary", deal), sequence: 7, head });
    AccessRecorded::verify(&record, &signer.verifier()).unwrap()
}

#[test]
fn a_result_goes_out_only_to_the_person_granted_and_only_when_on_record() {
    let signer = authority("st-mary");
    let now = at(LATER);
    let ann = StaffId::new("Ann Dietitian").unwrap();
    let signed = signer.sign(grant("s1"));
    let sealed = |deal| {
        let result = key_release(&signer, "s1").enclose(40).compute(|n| n + 2);
        seal(result, CareSession::new(scope("st-mary", deal)))
    };
    let cleared = || CareDisclosure::verify(&signed, &signer.verifier(), now, &ann).unwrap();

    let out = release(sealed("s1").unwrap(), cleared(), recorded(&signer, "s1")).unwrap();
    assert_eq!(out.into_inner(), 42);
    assert!(sealed("s2").is_err(), "sealed to a session of another statement");
    assert!(release(sealed("s1").unwrap(), cleared(), recorded(&signer, "s2")).is_err());

    let bob = StaffId::new("Bob").unwrap();
    let refused = CareDisclosure::verify(&signed, &signer.verifier(), now, &bob).unwrap_err();
    assert_eq!(refused, StatementRefused::OtherRecipient);
    let late = CareDisclosure::verify(&signed, &signer.verifier(), at(END), &ann).unwrap_err();
    assert_eq!(late, StatementRefused::Expired { until: at(END) });
}

#[test]
fn upkeep_is_for_one_dataset_and_one_kind_of_work() {
    let signer = authority("st-mary");
    let order = UpkeepOrder {
        holder: HolderId::new("st-mary").unwrap(),
        dataset: DatasetId::new("meals").unwrap(),
        work: Upkeep::Compact,
        issued: at(START),
        expires: at(END),
    };
    let token = UpkeepAuthorised::verify(&signer.sign(order), &signer.verifier(), at(LATER));
    let token = token.unwrap();
    let meals = DatasetId::new("meals").unwrap();
    assert_eq!(token.covers(&meals, Upkeep::Compact), Ok(()));
    assert!(token.covers(&meals, Upkeep::Verify).is_err());
    assert!(token.covers(&DatasetId::new("billing").unwrap(), Upkeep::Compact).is_err());
}

#[test]
fn a_subject_set_does_not_print_its_members() {
    let set = SubjectSet::new(["urn:patient:secret".to_owned()]);
    assert_eq!(format!("{set:?}"), "SubjectSet(1 members)");
    let rule =
        RowRule::SubjectIn { column: ColumnPath::new("patient").unwrap(), subjects: set.clone() };
    assert!(!format!("{rule:?}").contains("secret"));
    assert_eq!(set.digest(), SubjectSet::new(["urn:patient:secret".to_owned()]).digest());
}

#[test]
fn reading_the_access_log_is_for_one_auditor_and_one_stretch_of_time() {
    let signer = authority("st-mary");
    let auditor = StaffId::new("Eve Auditor").unwrap();
    let order = || AuditReadingOrder {
        holder: HolderId::new("st-mary").unwrap(),
        auditor: auditor.clone(),
        entries_from: at("2025-06-01T00:00:00Z"),
        entries_until: at("2025-07-01T00:00:00Z"),
        issued: at(START),
        expires: at(END),
    };
    let verify = |order: &SignedStatement<AuditReadingOrder>, now: &str, who: &StaffId| {
        AuditReading::verify(order, &signer.verifier(), at(now), who)
    };
    let signed = signer.sign(order());
    let reading = verify(&signed, LATER, &auditor).unwrap();
    assert!(reading.covers(at("2025-06-01T00:00:00Z")));
    assert!(!reading.covers(at("2025-05-31T23:59:59Z")));
    assert!(!reading.covers(at("2025-07-01T00:00:00Z")));
    let bob = StaffId::new("Bob").unwrap();
    assert_eq!(verify(&signed, LATER, &bob).unwrap_err(), StatementRefused::OtherRecipient);
    assert!(matches!(verify(&signed, END, &auditor), Err(StatementRefused::Expired { .. })));
    type Change = fn(&mut AuditReadingOrder);
    let changes: [(&str, Change); 5] = [
        ("auditor", |o| o.auditor = StaffId::new("Bob").unwrap()),
        ("from", |o| o.entries_from = Timestamp::EPOCH),
        ("until", |o| o.entries_until = o.entries_until.saturating_add_micros(1)),
        ("issued", |o| o.issued = o.issued.saturating_add_micros(-1)),
        ("expires", |o| o.expires = o.expires.saturating_add_micros(1)),
    ];
    for (what, change) in changes {
        let mut altered = order();
        change(&mut altered);
        let who = altered.auditor.clone();
        let forged = SignedStatement::new(altered, signed.signature());
        let refused = verify(&forged, LATER, &who).unwrap_err();
        assert_eq!(refused, StatementRefused::Signature, "{what}");
    }
}
