use salus_spine::{Care, PermitChecked};

fn main() {
    let _: PermitChecked<Care> = PermitChecked {};
}
