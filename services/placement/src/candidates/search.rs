//! The search. Pure: the same forest and the same wants give the same candidates in the same order.
//!
//! Each group gives parts: what it takes, of whom, and under which root (the anchor). A candidate is one
//! part of each group under one anchor, which together are not too much for anybody.

use base::{Map, Set};

use super::{
    forest::{Forest, Node, Place},
    wanted::{Group, Wanted},
};
use crate::{
    providers::filter::{has_traits, is_member},
    query::{Member, Traits},
};

/// So many candidates are given at most.
const MOST: usize = 100_000;
/// So many combinations are tried at most, shared among the anchors: with many wide trees there are more
/// than anybody can wait for.
const PATIENCE: usize = 1_000_000;

/// One way to satisfy a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate<'w> {
    /// Of whom, of which class, how much. Sorted, no class twice of one provider.
    pub(super) takes: Vec<(Place, &'w str, u64)>,
    /// Who satisfies which group.
    pub(super) mappings: Vec<(&'w str, Vec<Place>)>,
}

/// What one group takes.
#[derive(Clone, Debug)]
struct Part<'w> {
    takes: Vec<(Place, &'w str, u64)>,
    /// Who satisfies the group. Sorted.
    providers: Vec<Place>,
}

/// Parts by anchor.
type Parts<'w> = Map<Place, Vec<Part<'w>>>;

/// All candidates, in the order of their anchors. `nested`: one may take of several providers of a tree.
pub(super) fn search<'w>(forest: &Forest, wanted: &'w Wanted, nested: bool) -> Vec<Candidate<'w>> {
    let mut groups: Vec<(&str, Parts<'w>)> = Vec::new();
    for (suffix, group) in &wanted.groups {
        let parts = match suffix.is_empty() && (forest.nested || forest.has_sharing()) {
            true => spread(forest, wanted, group),
            false => single(forest, wanted, group),
        };
        if parts.is_empty() {
            return Vec::new();
        }
        groups.push((suffix, parts));
    }
    let Some((_, first)) = groups.first() else { return Vec::new() };
    let anchors: Vec<Place> = first
        .keys()
        .copied()
        .filter(|anchor| groups.iter().all(|(_, parts)| parts.contains_key(anchor)))
        .collect();
    let most = wanted.limit.unwrap_or(MOST).min(MOST);
    let share = (PATIENCE / anchors.len().max(1)).max(1000);
    let mut found = Found { seen: Set::new(), list: Vec::new(), most };
    let unique = groups.len() == 1 && !forest.has_sharing();
    for anchor in anchors {
        let choices: Vec<(&str, &[Part<'w>])> = groups
            .iter()
            .filter_map(|(suffix, parts)| Some((*suffix, parts.get(&anchor)?.as_slice())))
            .collect();
        let mut walk = Walk {
            forest,
            wanted,
            nested,
            choices: &choices,
            chosen: Vec::new(),
            patience: share,
            unique,
        };
        walk.go(&mut found);
        if found.list.len() >= found.most {
            break;
        }
    }
    found.list
}

/// Whether this root may anchor candidates.
fn anchors(forest: &Forest, wanted: &Wanted, root: Place) -> bool {
    wanted.root.is_empty() || has_traits(&wanted.root, &forest.nodes[root].record.traits)
}

/// The root of the tree that a group must be in; the outer none: there is no such provider.
fn tree_of(forest: &Forest, group: &Group) -> Option<Option<Place>> {
    match &group.in_tree {
        None => Some(None),
        Some(id) => Some(Some(forest.nodes[forest.find(id)?].root)),
    }
}

/// Groups that one provider satisfies alone.
fn single<'w>(forest: &Forest, wanted: &'w Wanted, group: &'w Group) -> Parts<'w> {
    let mut parts = Parts::new();
    let Some(tree) = tree_of(forest, group) else { return parts };
    for (place, node) in forest.nodes.iter().enumerate() {
        let fits = tree.is_none_or(|root| root == node.root)
            && group.resources.iter().all(|(class, amount)| node.fits(class, *amount))
            && is_member(&group.member, &node.record.aggregates)
            && has_traits(&group.traits, &node.record.traits);
        if !fits {
            continue;
        }
        let takes = group.resources.iter().map(|(class, n)| (place, class.as_str(), *n)).collect();
        let part = Part { takes, providers: vec![place] };
        let shared = forest.shared_with(place);
        for root in shared.into_iter().flatten().copied().filter(|root| *root != node.root) {
            if anchors(forest, wanted, root) {
                parts.entry(root).or_default().push(part.clone());
            }
        }
        if anchors(forest, wanted, node.root) {
            parts.entry(node.root).or_default().push(part);
        }
    }
    parts
}

/// The group that many providers of a tree satisfy together, with those that share with it.
fn spread<'w>(forest: &Forest, wanted: &'w Wanted, group: &'w Group) -> Parts<'w> {
    let mut parts = Parts::new();
    let Some(tree) = tree_of(forest, group) else { return parts };
    let mut by_anchor = Map::<Place, Vec<(&'w str, u64, Vec<Place>)>>::new();
    for (number, (class, amount)) in group.resources.iter().enumerate() {
        let givers = givers(forest, wanted, group, tree, class, *amount);
        for (anchor, providers) in givers {
            let classes = by_anchor.entry(anchor).or_default();
            // One that lacks an earlier class is of no use.
            if classes.len() == number {
                classes.push((class, *amount, providers));
            }
        }
    }
    let count = group.resources.len();
    by_anchor.retain(|_, classes| classes.len() == count);
    let share = (PATIENCE / by_anchor.len().max(1)).max(1000);
    for (anchor, classes) in by_anchor {
        let mut list = Vec::new();
        let mut patience = share;
        combine(forest, group, &classes, &mut Vec::new(), &mut list, &mut patience);
        if !list.is_empty() {
            parts.insert(anchor, list);
        }
    }
    parts
}

/// Who can give so much of a class, by anchor.
fn givers(
    forest: &Forest,
    wanted: &Wanted,
    group: &Group,
    tree: Option<Place>,
    class: &str,
    amount: u64,
) -> Map<Place, Vec<Place>> {
    let mut givers = Map::<Place, Vec<Place>>::new();
    let mut add = |anchor: Place, place: Place| {
        if anchors(forest, wanted, anchor) && within(forest, &group.member, place, anchor) {
            let places = givers.entry(anchor).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
    };
    for (place, node) in forest.nodes.iter().enumerate() {
        if tree.is_none_or(|root| root == node.root) && node.fits(class, amount) {
            add(node.root, place);
        }
    }
    if tree.is_none() {
        for (place, roots) in forest.sharing() {
            let node = &forest.nodes[place];
            // What is shared must be in the wanted aggregates itself.
            let inside = group.member.of.is_empty() || all_of(&group.member, node);
            if inside && node.fits(class, amount) {
                roots.iter().for_each(|root| add(*root, place));
            }
        }
    }
    givers
}

fn all_of(member: &Member, node: &Node) -> bool {
    let only = Member { of: member.of.clone(), not_of: Set::new() };
    is_member(&only, &node.record.aggregates)
}

/// Whether a provider or its anchor is in the wanted aggregates, and neither in a forbidden one.
fn within(forest: &Forest, member: &Member, place: Place, anchor: Place) -> bool {
    if member.is_empty() {
        return true;
    }
    let (node, root) = (&forest.nodes[place], &forest.nodes[anchor]);
    let forbidden = |node: &Node| {
        node.record.aggregates.iter().any(|aggregate| member.not_of.contains(aggregate))
    };
    (all_of(member, node) || all_of(member, root)) && !forbidden(node) && !forbidden(root)
}

/// All ways to take each class of one provider, whose traits together are as wanted.
fn combine<'w>(
    forest: &Forest,
    group: &Group,
    classes: &[(&'w str, u64, Vec<Place>)],
    chosen: &mut Vec<Place>,
    list: &mut Vec<Part<'w>>,
    patience: &mut usize,
) {
    let Some((_, _, providers)) = classes.get(chosen.len()) else {
        let distinct: Set<Place> = chosen.iter().copied().collect();
        if together(forest, &group.traits, &distinct) {
            let takes = classes
                .iter()
                .zip(&*chosen)
                .map(|((class, amount, _), place)| (*place, *class, *amount))
                .collect();
            list.push(Part { takes, providers: distinct.into_iter().collect() });
        }
        return;
    };
    for place in providers {
        if *patience == 0 {
            return;
        }
        *patience -= 1;
        chosen.push(*place);
        combine(forest, group, classes, chosen, list, patience);
        chosen.pop();
    }
}

/// Whether these providers have all wanted traits among them, and none of them a forbidden one.
fn together(forest: &Forest, traits: &Traits, places: &Set<Place>) -> bool {
    if traits.is_empty() {
        return true;
    }
    let of = |place: &Place| &forest.nodes[*place].record.traits;
    let has = |name: &String| places.iter().any(|place| of(place).binary_search(name).is_ok());
    traits.required.iter().all(|any| any.iter().any(has)) && !traits.forbidden.iter().any(has)
}

/// What was found so far.
struct Found<'w> {
    seen: Set<Candidate<'w>>,
    list: Vec<Candidate<'w>>,
    most: usize,
}

/// A walk through all combinations under one anchor, leaving out early what cannot become anything.
struct Walk<'s, 'w> {
    forest: &'s Forest,
    wanted: &'w Wanted,
    nested: bool,
    choices: &'s [(&'w str, &'s [Part<'w>])],
    chosen: Vec<&'s Part<'w>>,
    patience: usize,
    /// No candidate can be found twice.
    unique: bool,
}

impl<'w> Walk<'_, 'w> {
    fn go(&mut self, found: &mut Found<'w>) {
        let Some((suffix, parts)) = self.choices.get(self.chosen.len()) else {
            if let Some(candidate) = self.candidate() {
                if !self.unique && !found.seen.insert(candidate.clone()) {
                    return;
                }
                found.list.push(candidate);
            }
            return;
        };
        for part in *parts {
            if self.patience == 0 || found.list.len() >= found.most {
                return;
            }
            self.patience -= 1;
            if self.clashes(suffix, part) {
                continue;
            }
            self.chosen.push(part);
            self.go(found);
            self.chosen.pop();
        }
    }

    /// Whether a part cannot stand beside those chosen.
    fn clashes(&self, suffix: &str, part: &Part<'w>) -> bool {
        let others = || self.choices.iter().map(|(suffix, _)| *suffix).zip(&self.chosen);
        if self.wanted.isolate
            && !suffix.is_empty()
            && others()
                .any(|(other, chosen)| !other.is_empty() && chosen.providers == part.providers)
        {
            return true;
        }
        part.takes.iter().any(|(place, class, amount)| {
            let taken = self.chosen.iter().flat_map(|chosen| &chosen.takes);
            let taken: u64 = taken
                .filter(|(other, same, _)| other == place && same == class)
                .map(|(_, _, amount)| amount)
                .sum();
            taken > 0 && !enough(&self.forest.nodes[*place], class, taken.saturating_add(*amount))
        })
    }

    fn candidate(&self) -> Option<Candidate<'w>> {
        let mappings: Vec<(&'w str, Vec<Place>)> = self
            .choices
            .iter()
            .zip(&self.chosen)
            .map(|((suffix, _), part)| (*suffix, part.providers.clone()))
            .collect();
        if !self.wanted.subtrees.iter().all(|suffixes| self.one_subtree(suffixes, &mappings)) {
            return None;
        }
        let mut sums = Map::<(Place, &'w str), u64>::new();
        for (place, class, amount) in self.chosen.iter().flat_map(|part| &part.takes) {
            let sum = sums.entry((*place, class)).or_default();
            *sum = sum.saturating_add(*amount);
        }
        if !self.nested {
            let places: Set<Place> = sums.keys().map(|(place, _)| *place).collect();
            let roots: Set<Place> =
                places.iter().map(|place| self.forest.nodes[*place].root).collect();
            if places.len() != roots.len() {
                return None;
            }
        }
        let takes = sums.into_iter().map(|((place, class), sum)| (place, class, sum)).collect();
        Some(Candidate { takes, mappings })
    }

    /// Whether one of the providers of these groups is above all others.
    fn one_subtree(&self, suffixes: &Set<String>, mappings: &[(&'w str, Vec<Place>)]) -> bool {
        let places: Set<Place> = mappings
            .iter()
            .filter(|(suffix, _)| suffixes.contains(*suffix))
            .flat_map(|(_, places)| places.iter().copied())
            .collect();
        places.iter().any(|top| places.iter().all(|place| self.forest.is_above(*top, *place)))
    }
}

/// Whether a provider has so much of a class for one consumer, in several amounts.
fn enough(node: &Node, class: &str, amount: u64) -> bool {
    node.inventory(class).is_some_and(|own| {
        amount <= own.max_unit && node.used(class).saturating_add(amount) <= own.capacity()
    })
}
