//! The walk against a model: a list in order of ids, read by offset, that changes between two reads.

use proptest::prelude::*;

use super::*;

/// What a plane would answer: the page of at most `first` ids from an offset on.
fn page(list: &[u16], offset: usize, first: usize) -> (Vec<String>, String, bool, u32) {
    let ids: Vec<_> = list.iter().skip(offset).take(first).map(u16::to_string).collect();
    let end = offset + ids.len();
    (ids, end.to_string(), end < list.len(), u32::try_from(list.len()).unwrap())
}

#[derive(Debug, Clone)]
enum Change {
    Insert(u16),
    Delete(usize),
}

fn change(list: &mut Vec<u16>, change: &Change) {
    match change {
        Change::Insert(id) => {
            if let Err(at) = list.binary_search(id) {
                list.insert(at, *id);
            }
        }
        Change::Delete(_) if list.is_empty() => {}
        Change::Delete(index) => drop(list.remove(index % list.len())),
    }
}

/// Walks through `list`, which changes after each page by the next of `changes`.
fn walk<'a>(
    list: &mut Vec<u16>,
    first: usize,
    changes: &mut impl Iterator<Item = &'a Vec<Change>>,
) -> Result<Walk, Drift> {
    let mut walk = Walk::default();
    let mut offset = 0;
    loop {
        let (ids, end_cursor, has_next, total) = page(list, offset, first);
        let next = walk.take(ids.iter().map(String::as_str), &Place { end_cursor: &end_cursor, has_next, total })?;
        match next {
            Next::Done => return Ok(walk),
            Next::After(cursor) => offset = cursor.parse().unwrap(),
        }
        for one in changes.next().into_iter().flatten() {
            change(list, one);
        }
    }
}

fn ids(list: &[u16]) -> HashSet<Box<str>> {
    list.iter().map(|id| id.to_string().into()).collect()
}

fn lists() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::btree_set(0u16..200, 0..60).prop_map(|set| set.into_iter().collect())
}

fn changes(one: impl Strategy<Value = Change>) -> impl Strategy<Value = Vec<Vec<Change>>> {
    proptest::collection::vec(proptest::collection::vec(one, 0..3), 0..20)
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![(0u16..200).prop_map(Change::Insert), any::<usize>().prop_map(Change::Delete)]
}

proptest! {
    #[test]
    fn a_list_at_rest_is_read_whole_whatever_the_page_size(mut list in lists(), first in 1usize..20) {
        let before = ids(&list);
        let walk = walk(&mut list, first, &mut [].iter()).unwrap();
        prop_assert_eq!(&walk.ids, &before);
        prop_assert_eq!(walk.needs_confirmation(), list.len() > first);
    }

    #[test]
    fn a_list_that_only_grows_or_only_shrinks_is_never_taken_for_one_at_rest(
        list in lists(),
        first in 1usize..20,
        growing in any::<bool>(),
        mut moves in changes(any_change()),
    ) {
        for one in moves.iter_mut().flatten() {
            *one = match (growing, &*one) {
                (true, Change::Delete(index)) => Change::Insert(u16::try_from(index % 200).unwrap()),
                (false, Change::Insert(id)) => Change::Delete(usize::from(*id)),
                (_, same) => same.clone(),
            };
        }
        let mut now = list.clone();
        if let Ok(walk) = walk(&mut now, first, &mut moves.iter()) {
            prop_assert_eq!(&walk.ids, &ids(&list));
            prop_assert_eq!(ids(&now), ids(&list));
        }
    }

    #[test]
    fn an_accepted_walk_never_repeats_and_has_the_length_that_every_page_announced(
        list in lists(),
        first in 1usize..20,
        moves in changes(any_change()),
    ) {
        let mut now = list.clone();
        if let Ok(walk) = walk(&mut now, first, &mut moves.iter()) {
            // `ids` is a set, so its size is the number of different items that came.
            prop_assert_eq!(walk.ids.len(), list.len());
            prop_assert_eq!(now.len(), list.len());
        }
    }

    #[test]
    fn a_walk_that_a_second_one_through_a_resting_list_confirms_is_that_list(
        list in lists(),
        first in 1usize..20,
        second in 1usize..40,
        moves in changes(any_change()),
    ) {
        let mut now = list;
        if let Ok(earlier) = walk(&mut now, first, &mut moves.iter()) {
            let later = walk(&mut now, second, &mut [].iter()).unwrap();
            match later.confirms(&earlier) {
                Ok(()) => prop_assert_eq!(&earlier.ids, &ids(&now)),
                Err(drift) => {
                    prop_assert_eq!(drift, Drift::Unconfirmed);
                    prop_assert_ne!(&earlier.ids, &ids(&now));
                }
            }
        }
    }

    #[test]
    fn every_plane_however_mad_ends_the_walk(
        pages in proptest::collection::vec((proptest::collection::vec(0u16..300, 0..4), "[ab]{0,2}", any::<bool>(), 0u32..40), 100),
    ) {
        let mut walk = Walk::default();
        let mut total = None;
        let taken = pages.iter().take_while(|(ids, cursor, has_next, announced)| {
            let total = *total.get_or_insert(*announced);
            let ids: Vec<_> = ids.iter().map(u16::to_string).collect();
            let place = Place { end_cursor: cursor, has_next: *has_next, total };
            matches!(walk.take(ids.iter().map(String::as_str), &place), Ok(Next::After(_)))
        });
        prop_assert!(taken.count() <= 40);
    }
}

fn place(end_cursor: &str, has_next: bool, total: u32) -> Place<'_> {
    Place { end_cursor, has_next, total }
}

#[test]
fn a_change_that_keeps_the_length_is_found_by_the_second_walk() {
    let mut list = vec![1, 2, 3, 4];
    let swap = vec![Change::Delete(0), Change::Insert(5)];
    let earlier = walk(&mut list, 2, &mut [swap].iter()).unwrap();
    assert_eq!(earlier.ids, ids(&[1, 2, 4, 5]), "3 was skipped, and nothing in the pages tells");
    let later = walk(&mut list, 200, &mut [].iter()).unwrap();
    assert_eq!(later.confirms(&earlier), Err(Drift::Unconfirmed));
}

#[test]
fn an_empty_list_is_a_list() {
    let mut walk = Walk::default();
    assert_eq!(walk.take([], &place("", false, 0)), Ok(Next::Done));
    assert!(!walk.needs_confirmation());
}

#[test]
fn each_sign_of_a_shift_is_told_by_its_name() {
    let after = |walk: &mut Walk| walk.take(["a", "b"], &place("2", true, 4)).unwrap();
    let second = |ids: &[&str], place: Place<'_>| {
        let mut walk = Walk::default();
        assert_eq!(after(&mut walk), Next::After("2".into()));
        walk.take(ids.iter().copied(), &place).unwrap_err()
    };
    assert_eq!(second(&["b", "c"], place("", false, 4)), Drift::Repeated("b".into()));
    assert_eq!(second(&["c"], place("", false, 3)), Drift::Resized { before: 4, after: 3 });
    assert_eq!(second(&["c"], place("", false, 4)), Drift::Miscounted { total: 4, came: 3 });
    assert_eq!(second(&["c", "d", "e"], place("", false, 4)), Drift::Miscounted { total: 4, came: 5 });
    assert_eq!(second(&["c"], place("2", true, 4)), Drift::Stuck);
    assert_eq!(second(&["c"], place("", true, 4)), Drift::NoCursor);
    assert_eq!(second(&[], place("3", true, 4)), Drift::Empty);
}
