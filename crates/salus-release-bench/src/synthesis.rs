//! Private synthesis of Adult beside dpmm's, judged by the same measures.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use cpu_time::ProcessTime;
use salus_deid::{Column, Table as Plain};
use salus_dp::{Bounds, Delta, Domain, Epsilon, UnitKey, rho_from_epsilon};
use salus_model::ColumnPath;
use salus_synth::quality::{similarity, train_test_auc};
use salus_synth::{Attribute, Kind, Method, Missing, Table, TableBuilder, fit};
use salus_testkit::Venv;

use crate::world::{Peers, adult};

const AGE: (f64, f64) = (17.0, 96.0);

pub(crate) fn measure(peers: Peers) -> Result<Vec<String>> {
    let (plain, quasi) = adult()?;
    let attributes = quasi
        .items()
        .iter()
        .map(|item| {
            let kind = if item.column == "age" {
                Kind::Number { bounds: Bounds::new(AGE.0, AGE.1, 0)?, bins: 20 }
            } else {
                Kind::Category(Domain::new(item.hierarchy.values().map(str::to_owned).collect())?)
            };
            Ok(Attribute::new(ColumnPath::new(&*item.column)?, kind, Missing::Possible)?)
        })
        .collect::<Result<Vec<_>>>()?;
    let part = |test: bool| plain.select((0..plain.rows()).filter(|i| (i % 5 == 4) == test));
    let (train_rows, test_rows) = (part(false)?, part(true)?);
    let (train, test) = (coded(&attributes, &train_rows)?, coded(&attributes, &test_rows)?);
    let target = attributes.len() - 1;
    let good = attributes.last().and_then(|a| a.encode(Some(">50K"))).unwrap_or(0);
    let auc = |table: &Table| train_test_auc(table, &test, target, good).unwrap_or(0.5);
    let mut lines = vec![
        format!(
            "Synthesis of Adult, {} × {}, ε = 1, δ = 1e-6. Quality: mean of one- and two-way \
             similarity; AUC: a classifier trained on synthetic records, tested on real ones \
             (real: {:.4}). Domains are public.\n",
            train_rows.rows(),
            attributes.len(),
            auc(&train)
        ),
        "| Method | Quality | AUC | CPU |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
    ];
    let rho = rho_from_epsilon(Epsilon::new(1.0)?, Delta::new(1e-6)?);
    for method in [Method::Aim, Method::Mst, Method::PrivBayes, Method::Copula] {
        let start = ProcessTime::now();
        let model = fit(&train, method, rho)?;
        let sample = model.sample(train_rows.rows(), 1, &[], &[])?;
        let spent = start.elapsed().as_secs_f64();
        lines.push(format!(
            "| Salus {method:?} | {:.4} | {:.4} | {spent:.1} s |",
            similarity(&train, sample.table()).quality(),
            auc(sample.table())
        ));
    }
    if peers == Peers::FromPyPi {
        for method in ["mst", "aim"] {
            let (theirs, spent) = dpmm(method, &train_rows, &quasi)?;
            let theirs = coded(&attributes, &theirs)?;
            lines.push(format!(
                "| dpmm 0.1.9 {method} | {:.4} | {:.4} | {spent} s |",
                similarity(&train, &theirs).quality(),
                auc(&theirs)
            ));
        }
    }
    lines.push(String::new());
    Ok(lines)
}

fn coded(attributes: &[Attribute], plain: &Plain) -> Result<Table> {
    let columns = attributes
        .iter()
        .map(|a| Ok(plain.column(a.name().as_str())?))
        .collect::<Result<Vec<&Column>>>()?;
    let mut builder = TableBuilder::new(attributes.to_vec(), 1)?;
    for row in 0..plain.rows() {
        let fields: Vec<Option<&str>> = columns.iter().map(|c| c.value(row)).collect();
        builder.push(UnitKey::new(row as u128), &fields)?;
    }
    Ok(builder.finish())
}

/// What dpmm makes of the same records, and the CPU seconds that it says it took.
fn dpmm(
    method: &str,
    train: &Plain,
    quasi: &salus_deid::QuasiIdentifiers,
) -> Result<(Plain, String)> {
    let format = salus_deid::CsvFormat::with_delimiter(b';');
    let folder = salus_testkit::cache_dir().join("bench-release");
    fs::create_dir_all(&folder)?;
    let [input, domain, output] =
        ["train.csv", "domain.json", "out.csv"].map(|name| folder.join(name));
    train.write_csv(fs::File::create(&input)?, format)?;
    let columns: Vec<String> = quasi
        .items()
        .iter()
        .map(|item| {
            if item.column == "age" {
                return format!("\"age\": {{\"lower\": {}, \"upper\": {}}}", AGE.0, AGE.1);
            }
            let values: Vec<String> = item.hierarchy.values().map(|v| format!("\"{v}\"")).collect();
            format!("\"{}\": {{\"categories\": [{}]}}", item.column, values.join(", "))
        })
        .collect();
    fs::write(&domain, format!("{{{}}}", columns.join(", ")))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peers/dpmm_fit.py");
    let spent = Venv::with(&["dpmm==0.1.9"]).run(script, |command| {
        command.arg(method).args([&input, &domain, &output]);
    });
    let made = Plain::read_csv(fs::File::open(&output).context("dpmm wrote nothing")?, format)?;
    Ok((made, spent.trim().to_owned()))
}
