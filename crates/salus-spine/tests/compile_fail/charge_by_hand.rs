use salus_spine::{BudgetCharged, Scope, SecondaryClearance};

fn shortcut(scope: Scope) -> SecondaryClearance {
    SecondaryClearance::Charged(BudgetCharged { scope })
}

fn main() {}
