use salus_spine::{Care, CareRestricted, PermitChecked, authorise};

fn shortcut(permit: PermitChecked<Care>, rows: CareRestricted) {
    let _ = authorise(permit, rows, ());
}

fn main() {}
