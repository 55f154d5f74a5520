use salus_model::MicroRho;
use salus_synth::{Attribute, Method, Missing, fit};

use crate::support::{category, number, table};

fn attributes() -> Vec<Attribute> {
    vec![
        category("sex", &["f", "m"], Missing::Never),
        number("age", 0.0, 99.0, 5, Missing::Never),
        category("ward", &["a", "b", "c", "never used"], Missing::Possible),
        category("ill", &["no", "yes"], Missing::Never),
    ]
}

type Row = Vec<Option<String>>;

fn rows(n: usize) -> Vec<Row> {
    (0..n)
        .map(|i| {
            let ill = if (i * 7) % 10 < 3 + i % 2 * 4 { "yes" } else { "no" };
            let ward = (i % 13 > 0).then(|| ["a", "b", "c"][(i / 2) % 3].to_owned());
            vec![
                Some(["f", "m"][i % 2].to_owned()),
                Some(((i * 37) % 100).to_string()),
                ward,
                Some(ill.to_owned()),
            ]
        })
        .collect()
}

/// Every combination of codes once.
fn everything() -> Vec<Row> {
    let mut all: Vec<Row> = vec![Vec::new()];
    let some = |v: &str| Some(v.to_owned());
    for values in [
        vec![some("f"), some("m")],
        ["10", "30", "50", "70", "90"].map(some).to_vec(),
        vec![some("a"), some("b"), some("c"), some("never used"), None],
        vec![some("no"), some("yes")],
    ] {
        all = all
            .iter()
            .flat_map(|row| values.iter().map(|v| row.iter().cloned().chain([v.clone()]).collect()))
            .collect();
    }
    all
}

#[test]
fn the_likelihoods_of_all_rows_add_up_to_one() {
    let data = table(attributes(), &rows(2_000));
    let all = table(attributes(), &everything());
    for method in [Method::Mst, Method::Aim, Method::PrivBayes] {
        let model = fit(&data, method, MicroRho::new(200_000)).unwrap();
        let sum: f64 = model.log_likelihoods(&all).unwrap().iter().map(|l| l.exp()).sum();
        println!("{method:?}: Σ P over {} rows = {sum:.12}", everything().len());
        assert!((sum - 1.0).abs() < 1e-6, "{method:?}: {sum}");
    }
}

#[test]
fn rows_that_occur_are_likelier_than_rows_that_do_not() {
    let data = table(attributes(), &rows(2_000));
    let strange: Vec<Row> = rows(2_000)
        .into_iter()
        .map(|mut row| {
            row[2] = Some("never used".to_owned());
            row
        })
        .collect();
    let strange = table(attributes(), &strange);
    let mean = |l: Vec<f64>| l.iter().sum::<f64>() / l.len() as f64;
    for method in [Method::Mst, Method::Aim, Method::PrivBayes, Method::Copula] {
        let model = fit(&data, method, MicroRho::new(200_000)).unwrap();
        let (known, never) = (
            mean(model.log_likelihoods(&data).unwrap()),
            mean(model.log_likelihoods(&strange).unwrap()),
        );
        println!("{method:?}: mean ln P {known:.3} of rows that occur, {never:.3} of others");
        assert!(known > never + 2.0, "{method:?}");
        // A table of other attributes has no likelihood.
        let other = table(attributes()[..3].to_vec(), &[rows(1)[0][..3].to_vec()]);
        assert!(model.log_likelihoods(&other).is_none());
    }
}
