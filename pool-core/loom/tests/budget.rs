//! `Budget` in every interleaving.
#![cfg(loom)]
#![forbid(unsafe_code)]

use loom::thread;
use pool_core::Budget;

/// Charges `bytes`, checks the limits meanwhile, refunds. Whether it went through.
fn visit(budget: &Budget, bytes: usize) -> bool {
    let granted = budget.try_charge(bytes).is_ok();
    within(budget);
    if granted {
        budget.refund(bytes);
    }
    granted
}

fn within(budget: &Budget) {
    let mut level = Some(budget);
    while let Some(budget) = level {
        assert!(budget.used() <= budget.limit(), "{budget:?}");
        level = budget.parent();
    }
}

#[test]
fn what_fits_beside_a_refused_charge_is_granted() {
    loom::model(|| {
        let budget = Budget::new(10);
        let other = budget.clone();
        let too_much = thread::spawn(move || assert!(other.try_charge(11).is_err()));
        assert!(visit(&budget, 10));
        too_much.join().unwrap();
        assert_eq!((budget.used(), budget.refused(), budget.peak()), (0, 1, 10));
    });
}

#[test]
fn of_two_that_do_not_fit_together_one_is_granted() {
    loom::model(|| {
        let budget = Budget::new(10);
        let other = budget.clone();
        let thread = thread::spawn(move || other.try_charge(6).is_ok());
        let here = budget.try_charge(6).is_ok();
        let there = thread.join().unwrap();
        assert!(here ^ there);
        assert_eq!((budget.used(), budget.peak(), budget.refused()), (6, 6, 1));
    });
}

#[test]
fn siblings_share_their_parent_exactly() {
    loom::model(|| {
        let parent = Budget::named("parent", 10);
        let (left, right) = (parent.child("left", 8), parent.child("right", 8));
        let thread = thread::spawn({
            let right = right.clone();
            move || {
                let first = right.try_charge(6).is_ok();
                within(&right);
                (first, right.try_charge(3).is_ok())
            }
        });
        let here = left.try_charge(6).is_ok();
        within(&left);
        let (first, second) = thread.join().unwrap();
        let sum = |granted, bytes| if granted { bytes } else { 0 };
        assert_eq!(left.used(), sum(here, 6));
        assert_eq!(right.used(), sum(first, 6) + sum(second, 3));
        assert_eq!(parent.used(), left.used() + right.used());
        assert!(parent.used() <= 10 && parent.peak() <= 10 && parent.peak() >= parent.used());
        assert!(here || first, "one of them found an empty parent");
    });
}

#[test]
fn a_charge_refused_above_leaves_nothing_below() {
    loom::model(|| {
        let parent = Budget::named("parent", 5);
        let child = parent.child("child", 8);
        let thread = thread::spawn({
            let child = child.clone();
            move || {
                let refusal = child.try_charge(6).unwrap_err();
                // By the child where the five bytes stand there too.
                let expected = [("parent", 1, 0), ("parent", 1, 5), ("child", 0, 5)];
                assert!(expected.contains(&(refusal.level, refusal.depth, refusal.used)));
            }
        });
        // It may be refused by the child while the other's six bytes stand there: the one
        // exception that `Budget` documents. Never by the parent.
        if let Err(refusal) = child.try_charge(5) {
            assert_eq!((refusal.level, refusal.used), ("child", 6));
        } else {
            within(&child);
            child.refund(5);
        }
        thread.join().unwrap();
        assert_eq!((child.used(), parent.used()), (0, 0));
        child.try_charge(5).unwrap();
    });
}

#[test]
fn charges_release_what_they_hold_on_any_thread() {
    loom::model(|| {
        let parent = Budget::named("parent", 10);
        let child = parent.child("child", 10);
        let mut charge = child.charge(4).unwrap();
        let thread = thread::spawn(move || {
            let grown = charge.try_grow(4).is_ok();
            charge.shrink(2);
            drop(charge);
            grown
        });
        let here = parent.charge(4).is_ok();
        assert!(thread.join().unwrap() || here);
        assert_eq!((child.used(), parent.used()), (0, 0));
    });
}

#[test]
fn a_limit_lowered_meanwhile_holds_from_then_on() {
    loom::model(|| {
        let budget = Budget::new(10);
        let thread = thread::spawn({
            let budget = budget.clone();
            move || budget.try_charge(6).is_ok()
        });
        budget.set_limit(4);
        let first = budget.try_charge(4).is_ok();
        let other = thread.join().unwrap();
        // Four fit unless the six, which were granted under the old limit, came before.
        assert!(first || other);
        assert!(budget.try_charge(5).is_err());
        assert_eq!(budget.used(), usize::from(first) * 4 + usize::from(other) * 6);
    });
}
