//! Attacks on Adult: planted leaks are flagged, an independent sample is cleared.

use salus_deid::Table;
use salus_deid::attack::{Attack, Linking, Plan, Report, Scene, run};
use salus_model::{Entropy, EntropyFailed};

use crate::adult;

/// SplitMix64, for draws that no privacy depends on.
pub(crate) struct Sequence(pub(crate) u64);

impl Entropy for Sequence {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Members, control people and others: every third record each.
pub(crate) fn thirds() -> [Table; 3] {
    let table = adult::table();
    [0, 1, 2].map(|r| table.select((0..table.rows()).filter(|i| i % 3 == r)).unwrap())
}

fn attack(real: &Table, control: &Table, released: &Table) -> Report {
    let scene = Scene::new(real, control, released);
    let plan = Plan {
        attempts: 4_000,
        predicate_columns: 6,
        linking: Linking::by_lot(),
        secrets: vec!["salary-class".into()],
        looks: std::num::NonZeroU32::MIN,
    };
    let report = run(&scene, &plan, &mut Sequence(2026)).unwrap();
    for f in report.findings() {
        println!(
            "{:?}: n {} hits {} control {} risk {:.4} [{:.4}, {:.4}] alpha {:.5}",
            f.attack,
            f.attempts,
            f.successes,
            f.control_successes,
            f.risk.value,
            f.risk.lower,
            f.risk.upper,
            1.0 - report.confidence,
        );
    }
    println!("score {:.1}: {}", report.score, report.words);
    report
}

/// The others with their first tenth replaced by members.
pub(crate) fn with_copies(real: &Table, others: &Table) -> Table {
    let n = others.rows();
    let columns = others
        .columns()
        .iter()
        .map(|c| {
            let source = real.column(c.name()).unwrap();
            let value = |row: usize| {
                if row < n / 10 { source.value(row * 7).unwrap() } else { c.value(row).unwrap() }
            };
            salus_deid::Column::from_values(c.name(), (0..n).map(value)).unwrap()
        })
        .collect();
    Table::from_columns(columns).unwrap()
}

#[test]
fn an_independent_sample_is_cleared() {
    let [real, control, others] = thirds();
    let report = attack(&real, &control, &others);
    assert_eq!(report.proven().count(), 0);
    assert_eq!(report.published_verbatim, 0);
    assert!(report.score > 85.0, "{}", report.score);
}

#[test]
fn ten_percent_verbatim_copies_are_flagged() {
    let [real, control, others] = thirds();
    let report = attack(&real, &control, &with_copies(&real, &others));
    let flagged: Vec<Attack> = report.proven().map(|f| f.attack).collect();
    for expected in [
        Attack::SinglingOutMultivariate,
        Attack::LinkabilityAllNearest,
        Attack::Membership,
        Attack::PopulationLinkage,
    ] {
        assert!(flagged.contains(&expected), "{expected:?} is not among {flagged:?}");
    }
    // Linking by lot finds one in three hundred here: more than by chance, and not beyond doubt.
    assert!(report.score < 85.0, "{}", report.score);
}

#[test]
fn a_whole_copy_is_flagged_by_inference_and_linking_by_lot_as_well() {
    let [real, control, _] = thirds();
    let report = attack(&real, &control, &real);
    for expected in [Attack::Inference, Attack::Linkability] {
        let found = report.findings().find(|f| f.attack == expected).unwrap();
        assert!(found.risk.lower > 0.0, "{expected:?} flags no whole copy");
    }
    assert!(report.score < 25.0, "{}", report.score);
}
