use salus_spine::{Care, CareRestricted, PermitChecked, Place, authorise};

fn shortcut(permit: PermitChecked<Care>, rows: CareRestricted, more: CareRestricted, place: Place, again: Place) {
    let _ = authorise(permit, rows, place);
    let _ = authorise(permit, more, again);
}

fn main() {}
