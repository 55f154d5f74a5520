use salus_dp::{Bounds, Domain, UnitKey};
use salus_model::ColumnPath;
use salus_synth::{Attribute, Kind, Missing, Table, TableBuilder};

pub(crate) fn name(text: &str) -> ColumnPath {
    ColumnPath::new(text).unwrap()
}

pub(crate) fn category(text: &str, values: &[&str], missing: Missing) -> Attribute {
    let domain = Domain::new(values.iter().map(|v| (*v).to_owned()).collect()).unwrap();
    Attribute::new(name(text), Kind::Category(domain), missing).unwrap()
}

pub(crate) fn number(text: &str, low: f64, high: f64, bins: u16, missing: Missing) -> Attribute {
    let bounds = Bounds::new(low, high, 0).unwrap();
    Attribute::new(name(text), Kind::Number { bounds, bins }, missing).unwrap()
}

pub(crate) fn table(attributes: Vec<Attribute>, rows: &[Vec<Option<String>>]) -> Table {
    let mut builder = TableBuilder::new(attributes, 1).unwrap();
    for (row, unit) in rows.iter().zip(0u128..) {
        let fields: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
        builder.push(UnitKey::new(unit), &fields).unwrap();
    }
    builder.finish()
}

/// The adult table: attributes with public domains (the values of its hierarchy files), and rows.
pub(crate) fn adult() -> (Vec<Attribute>, Vec<Vec<Option<String>>>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/adult/");
    let text = std::fs::read_to_string(format!("{folder}adult_arx_30162x9.csv")).unwrap();
    let mut lines = text.lines();
    let attributes = lines
        .next()
        .unwrap()
        .split(';')
        .map(|column| {
            if column == "age" {
                return number(column, 17.0, 96.0, 20, Missing::Never);
            }
            let hierarchy =
                std::fs::read_to_string(format!("{folder}adult_hierarchy_{column}.csv"));
            let hierarchy = hierarchy.unwrap();
            let values: Vec<&str> = hierarchy.lines().filter_map(|l| l.split(';').next()).collect();
            category(column, &values, Missing::Never)
        })
        .collect();
    let rows =
        lines.map(|line| line.split(';').map(|v| Some(v.trim().to_owned())).collect()).collect();
    (attributes, rows)
}
