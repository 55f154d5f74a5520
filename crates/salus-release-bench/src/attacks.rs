//! Attacks beside anonymeter's on the same equal-size split.

use std::path::Path;

use anyhow::Result;
use salus_deid::attack::{Attack, Halves, Linking, Plan, Scene, run};
use salus_testkit::Venv;

use crate::world::{Draws, Peers, adult, file, thirds};

const PACKAGES: [&str; 1] = ["anonymeter==1.1.0"];

pub(crate) fn measure(peers: Peers) -> Result<Vec<String>> {
    let (table, _) = adult()?;
    let [real, control, others] = thirds(&table)?;
    let plan = Plan {
        attempts: 2_000,
        predicate_columns: 6,
        // The split that the peer's script makes.
        linking: Linking {
            halves: Halves::First(
                table.columns().iter().take(4).map(|c| c.name().to_owned()).collect(),
            ),
            ..Linking::by_lot()
        },
        secrets: vec!["salary-class".to_owned()],
        looks: std::num::NonZeroU32::MIN,
    };
    let theirs = match peers {
        Peers::None => String::new(),
        Peers::FromPyPi => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../salus-deid/testdata/anonymeter/make.py");
            Venv::with(&PACKAGES).run(script, |command| {
                command.arg(file());
            })
        }
    };
    let mut lines = vec![
        "| Attack on a third of Adult | Ours: risk and interval | anonymeter 1.1.0 |".to_owned(),
        "| --- | --- | --- |".to_owned(),
    ];
    for (name, released) in [("independent", &others), ("verbatim", &real)] {
        let scene = Scene::new(&real, &control, released);
        let report = run(&scene, &plan, &mut Draws(2026))?;
        for (attack, word) in [
            (Attack::SinglingOutMultivariate, "singling-out-multivariate"),
            (Attack::Linkability, "linkability"),
            (Attack::LinkabilityAllNearest, "linkability, all nearest kept"),
            (Attack::Inference, "inference"),
        ] {
            let Some(ours) = report.findings().find(|f| f.attack == attack) else { continue };
            let key = format!("{name},{word},");
            let peer = theirs.lines().find_map(|l| l.strip_prefix(&key)).map(|line| {
                let numbers: Vec<&str> = line.split(',').collect();
                match numbers.as_slice() {
                    [risk, low, high] => format!("{risk} [{low}, {high}]"),
                    _ => line.to_owned(),
                }
            });
            lines.push(format!(
                "| {word}, {name} release | {:.4} [{:.4}, {:.4}] | {} |",
                ours.risk.value,
                ours.risk.lower,
                ours.risk.upper,
                peer.unwrap_or_else(|| "not run".to_owned())
            ));
        }
    }
    lines.push(String::new());
    Ok(lines)
}
