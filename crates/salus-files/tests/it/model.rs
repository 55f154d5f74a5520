//! Models that want out, attacked by the records that they were fitted to.

use std::path::{Path, PathBuf};

use salus_crypto::OsEntropy;
use salus_files::output::{Attacked, CheckVerdict, OutputCheck, TrainingPeople, attack_model};
use salus_files::{AttackLine, AttackResult, FilesError};

use crate::certificate::part;
use crate::{Folder, adult, json, said, text};

fn file(path: &Path) -> (PathBuf, Vec<u8>) {
    (path.to_owned(), std::fs::read(path).unwrap())
}

fn attacked(
    model: (&Path, &[u8]),
    (trained_on, control): (&Path, &Path),
    loss: Option<&str>,
) -> Result<Attacked, FilesError> {
    let loss = loss.map(str::to_owned);
    let people = TrainingPeople { trained_on: file(trained_on), control: file(control), loss };
    attack_model(model, &people, &mut OsEntropy)
}

fn membership(found: &Attacked) -> &OutputCheck {
    found.checks.iter().find(|check| check.check == "membership").unwrap()
}

/// 100 · (1 − the largest upper bound of risk).
fn score(attacks: &[AttackLine]) -> f64 {
    let upper = |line: &AttackLine| match line.result {
        AttackResult::Ran { interval: [_, upper], .. } => upper,
        AttackResult::NotRun { .. } => 0.0,
    };
    100.0 * (1.0 - attacks.iter().map(upper).fold(0.0, f64::max))
}

fn leaks(attacks: &[AttackLine], name: &str) -> bool {
    let found = attacks.iter().find(|line| line.attack.name() == name).unwrap();
    matches!(found.result, AttackResult::Ran { leak: true, .. })
}

/// Losses of so many records, from a half to one and a half. Those of every `known`th lie below a
/// half: no threshold tells members better than that.
fn losses(folder: &Folder, name: &str, n: u32, known: Option<u32>) -> PathBuf {
    let line = |i: u32| {
        let place = f64::from(i * 7919 % 1000) / 1000.0;
        let memorised = known.is_some_and(|known| i.is_multiple_of(known));
        format!("{i},{:.4}\n", if memorised { place / 2.0 } else { 0.5 + place })
    };
    let lines: String = (0..n).map(line).collect();
    folder.write(name, format!("person,nll\n{lines}"))
}

#[test]
fn a_model_of_another_program_is_attacked_by_its_losses() {
    let folder = Folder::new();
    let model = (Path::new("net.onnx"), &b"weights"[..]);
    let (seen, alike) =
        (losses(&folder, "a.csv", 800, Some(2)), losses(&folder, "b.csv", 900, Some(2)));
    let unseen = losses(&folder, "c.csv", 900, None);
    let found = attacked(model, (&seen, &unseen), Some("nll")).unwrap();
    println!("{} {:?}", membership(&found).words, found.attacks);
    assert_eq!(membership(&found).verdict, CheckVerdict::Objects);
    let words = &membership(&found).words;
    assert!(words.contains("membership by a small loss"), "{words}");
    assert!(leaks(&found.attacks, "membership by a small loss"));
    // Every second member is below the threshold, and nobody else.
    assert!((30.0..=60.0).contains(&score(&found.attacks)), "{}", score(&found.attacks));
    let clear = attacked(model, (&seen, &alike), Some("nll")).unwrap();
    println!("{} {:?}", membership(&clear).words, clear.attacks);
    // Nobody here computed the losses: they pass nothing, and count for no score.
    assert_eq!(membership(&clear).verdict, CheckVerdict::Look);
    assert!(score(&clear.attacks) > 75.0 && clear.score.is_none() && found.score.is_none());

    let few = losses(&folder, "few.csv", 12, Some(2));
    let not_run = attacked(model, (&few, &alike), Some("nll")).unwrap();
    assert_eq!(membership(&not_run).verdict, CheckVerdict::NotChecked, "{not_run:?}");
    let refused = |people: (&Path, &Path), loss| said(&attacked(model, people, loss).unwrap_err());
    let told = refused((&seen, &alike), None);
    assert!(told.contains("--loss") && told.contains("net.onnx"), "{told}");
    let told = refused((&seen, &seen), Some("nll"));
    assert!(told.contains("the same file as --trained-on"), "{told}");
    let told = refused((&seen, &alike), Some("loss"));
    assert!(told.contains("'loss'") && told.contains("nll"), "{told}");
    let gap = folder.write("gap.csv", "person,nll\n1,0.5\n2,inf\n3,0.25\n");
    let told = refused((&seen, &gap), Some("nll"));
    assert!(told.contains("record 2 holds no finite number"), "{told}");
}

#[test]
fn a_model_of_ours_is_asked_for_likelihoods_and_sampled() {
    let folder = Folder::new();
    let hierarchies = adult("");
    let mut flagged = Vec::new();
    for (rows, epsilon) in [(300, "2000"), (3_000, "1")] {
        let real = part(&folder, "real.csv", 0, rows);
        let control = part(&folder, "control.csv", rows, 3 * rows);
        let (out, model) = (folder.path("out.csv"), folder.path("model.json"));
        let mut count = 0;
        for _ in 0..7 {
            json(&[
                "synthesise",
                text(&real),
                "--hierarchies",
                text(&hierarchies),
                "--method",
                "mst",
                "--epsilon",
                epsilon,
                "--model",
                text(&model),
                "--out",
                text(&out),
            ]);
            let bytes = std::fs::read(&model).unwrap();
            let found = attacked((&model, &bytes), (&real, &control), None).unwrap();
            println!("{rows} records at ε = {epsilon}: {}", membership(&found).words);
            let ran = |l: &&AttackLine| matches!(l.result, AttackResult::Ran { .. });
            assert!(found.attacks.iter().filter(ran).count() >= 8, "{:?}", found.attacks);
            assert!(found.score.is_some());
            count += usize::from(membership(&found).verdict == CheckVerdict::Objects);
        }
        flagged.push(count);
    }
    // At most one in ten says the contrary: four of seven have a chance under 1 in 300.
    assert!(flagged[0] >= 4 && flagged[1] < 4, "{flagged:?} of 7 each");
}

#[test]
fn what_a_model_is_said_to_be_fitted_to_is_looked_for_in_the_dataset() {
    let folder = Folder::new();
    let lines: String = (0..200).map(|i| format!("{},{},{i}\n", i % 70, i % 3)).collect();
    let trained_on = file(&folder.write("t.csv", format!("age,ward,loss\n{lines}")));
    let people = TrainingPeople { control: trained_on.clone(), trained_on, loss: None };
    let column = |of: fn(u32) -> u32, n: u32| -> Vec<Option<String>> {
        (0..n).map(|i| Some(of(i).to_string())).collect()
    };
    let check = |n: u32| {
        let rows = [column(|i| i % 3, n), column(|i| i % 70, n)];
        let names = ["ward".to_owned(), "age".to_owned()];
        salus_files::output::training_in_dataset(&people, &names, &rows).unwrap()
    };
    let (all, some) = (check(300), check(60));
    assert_eq!((all.verdict, some.verdict), (CheckVerdict::Passes, CheckVerdict::Look));
    assert!(all.words.starts_with("200 of the 200"), "{}", all.words);
    let none = salus_files::output::training_in_dataset(&people, &["sex".to_owned()], &[vec![]]);
    assert_eq!(none.unwrap().verdict, CheckVerdict::NotChecked);
}
