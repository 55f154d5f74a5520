use salus_spine::{Care, PermitChecked, Place, authorise};

fn shortcut(permit: PermitChecked<Care>, place: Place) {
    let _ = authorise(permit, (), place);
}

fn main() {}
