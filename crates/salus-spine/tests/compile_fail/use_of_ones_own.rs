use salus_spine::Use;

enum Marketing {}

impl Use for Marketing {
    type Rows = salus_spine::CareRestricted;
    type Clearance = salus_spine::CareDisclosure;
    type Receipt = salus_spine::AccessRecorded;
}

fn main() {}
