#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::{
    Clock, ColumnPath, DatasetId, DatasetVersion, IdError, KeyClass, ManualClock, MicroRho, Secret,
    Timestamp,
};

#[test]
fn ids_refuse_what_would_break_a_path_or_a_statement() {
    for (text, position) in [("../x", 1), ("a/b", 2), ("Abc", 1), ("a b", 2), ("a\0", 2)] {
        match DatasetId::new(text) {
            Err(IdError::Character { position: at, .. }) => assert_eq!(at, position, "{text:?}"),
            other => panic!("{text:?} gave {other:?}"),
        }
    }
    assert!(matches!(DatasetId::new(""), Err(IdError::Empty { .. })));
    assert!(matches!(DatasetId::new("a".repeat(64)), Err(IdError::TooLong { len: 64, .. })));
    assert_eq!(DatasetId::new("ward-3.v2_x").unwrap().as_str(), "ward-3.v2_x");
    assert!(ColumnPath::new("code.coding.list.element.system").is_ok());
}

#[test]
fn serde_goes_through_the_constructor() {
    let refused = serde_json::from_str::<DatasetId>("\"../etc\"").unwrap_err().to_string();
    assert!(refused.contains("must not contain '.'"), "{refused}");
    assert!(serde_json::from_str::<DatasetVersion>("0").is_err());
    assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
}

#[test]
fn a_secret_does_not_print_and_compares_by_value() {
    let secret = Secret::new(vec![1u8, 2, 3]);
    assert_eq!(format!("{secret:?}"), "Secret(redacted)");
    assert!(secret == Secret::new(vec![1, 2, 3]));
    assert!(secret != Secret::new(vec![1, 2, 4]));
    assert!(secret != Secret::new(vec![1, 2]));
}

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = ManualClock::new("2026-01-31T12:00:00Z".parse().unwrap());
    assert_eq!(clock.now(), clock.now());
    clock.advance_micros(1_500_000);
    assert_eq!(clock.now().to_string(), "2026-01-31T12:00:01.500000Z");
}

#[test]
fn privacy_loss_never_wraps() {
    assert_eq!(MicroRho::new(u64::MAX).checked_add(MicroRho::new(1)), None);
    assert_eq!(MicroRho::new(1).checked_sub(MicroRho::new(2)), None);
}

#[test]
fn every_class_has_its_own_word() {
    for class in KeyClass::ALL {
        assert_eq!(class.as_str().parse(), Ok(class));
    }
    assert!("Identifiers".parse::<KeyClass>().is_err());
}

proptest! {
    #[test]
    fn timestamps_survive_their_text(micros in -62_135_596_800_000_000i64..=253_402_300_799_999_999) {
        let t = Timestamp::from_micros(micros).unwrap();
        prop_assert_eq!(t.to_string().parse::<Timestamp>().unwrap(), t);
    }

    #[test]
    fn an_accepted_dataset_id_is_one_plain_path_segment(text in "\\PC{0,80}") {
        if let Ok(id) = DatasetId::new(text) {
            prop_assert!(!id.as_str().contains(['/', '\\', ' ', '\'', '"']));
            prop_assert!(!id.as_str().starts_with('.'));
        }
    }
}
