use salus_spine::{CareRestricted, PermitChecked, Place, Secondary, authorise};

fn shortcut(permit: PermitChecked<Secondary>, rows: CareRestricted, place: Place) {
    let _ = authorise(permit, rows, place);
}

fn main() {}
