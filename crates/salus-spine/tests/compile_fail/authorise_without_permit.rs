use salus_spine::{CareRestricted, Place, authorise};

fn shortcut(rows: CareRestricted, place: Place) {
    let _ = authorise::<salus_spine::Care>((), rows, place);
}

fn main() {}
