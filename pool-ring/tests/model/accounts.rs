//! What the partials of a model's clients cost, how old they are, and who may go for whom: the rules of
//! `Policy` by plain sums and lists.

use pool_ring::Policy;

/// What an entry costs.
pub const ENTRY: usize = 26;
/// Bytes of a chunk, and what one costs.
pub const CHUNK: usize = 64;
pub const UNIT: usize = CHUNK + 4;

#[derive(Clone, Copy)]
struct Held {
    client: usize,
    cost: usize,
    since: u64,
}

/// How a batch ended for the client that asked.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// It has an entry that costs this; `began`: its partial began in this batch.
    Holds { cost: usize, began: bool },
    /// It has nothing.
    Nothing,
    /// It was refused, though it would have cost no more than this; `began` as above. Nobody knows what it would
    /// have cost if its source refuses.
    Refused { most: Option<usize>, began: bool },
}

pub struct Accounts {
    pub policy: Policy,
    pub budget: usize,
    pub now: u64,
    /// By age, the oldest first.
    held: Vec<Held>,
}

/// The measure of `EvictLargest`.
fn class(cost: usize) -> usize {
    match cost / UNIT {
        chunks @ 0..=48 => chunks,
        chunks => 48 + (chunks / 48).ilog2() as usize,
    }
}

fn sum<'h>(held: impl IntoIterator<Item = &'h Held>) -> usize {
    held.into_iter().map(|held| held.cost).sum()
}

impl Accounts {
    pub const fn new(policy: Policy, budget: usize) -> Self {
        Self { policy, budget, now: 0, held: Vec::new() }
    }

    pub fn used(&self) -> usize {
        sum(&self.held)
    }

    /// What the others cost.
    pub fn others(&self, client: usize) -> usize {
        self.used() - self.cost(client)
    }

    pub fn cost(&self, client: usize) -> usize {
        sum(self.held.iter().filter(|held| held.client == client))
    }

    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// Those with an entry, the oldest first, and since when.
    pub fn by_age(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.held.iter().map(|held| (held.client, held.since))
    }

    pub fn remove(&mut self, client: usize) {
        self.held.retain(|held| held.client != client);
    }

    /// Who may go, in this order (`EvictLargest`: among equals in any), for the client at this place of the list, whose
    /// partial will cost `total`.
    fn may_go(&self, client: usize, place: usize, total: usize) -> Vec<Held> {
        let others = |held: &&Held| held.client != client;
        match self.policy {
            Policy::Reject => Vec::new(),
            Policy::EvictOldest { min_age } => {
                let is_old = |held: &Held| u128::from(self.now - held.since) >= min_age.as_millis();
                self.held[..place].iter().filter(others).copied().take_while(is_old).collect()
            }
            Policy::EvictLargest => {
                let large = |held: &&Held| class(held.cost) >= class(total);
                let mut all: Vec<_> =
                    self.held.iter().filter(others).filter(large).copied().collect();
                all.sort_by_key(|held| core::cmp::Reverse(class(held.cost)));
                all
            }
        }
    }

    /// Books a batch of `client` for which `gone` were evicted, and asserts that they are those who had to. With `is_block` it had a
    /// block before, which may have grown before it was cut: then it is not known what was needed.
    pub fn book(&mut self, client: usize, is_block: bool, gone: &[usize], end: End) {
        let at = self.held.iter().position(|held| held.client == client);
        let (own, since) = at.map_or((0, self.now), |at| (self.held[at].cost, self.held[at].since));
        let (most, began) = match end {
            End::Holds { cost, began } => (Some(cost), began),
            End::Refused { most, began } => (most, began),
            End::Nothing => (Some(0), false),
        };
        let place = at.filter(|_| !began).unwrap_or(self.held.len());
        if let (false, Some(total)) = (is_block, most) {
            let may_go = self.may_go(client, place, total);
            let used = self.used() - own + total;
            let refused = matches!(end, End::Refused { .. });
            if refused {
                let least = used - sum(&may_go);
                assert!(least > self.budget || total > self.budget, "refused without need");
            }
            self.check_gone(&may_go, gone, used);
        }
        if let End::Refused { .. } = end {
            assert!(is_block || gone.is_empty(), "evicted for one that was refused");
        }
        if let Policy::EvictOldest { min_age } = self.policy {
            for held in self.held.iter().filter(|held| gone.contains(&held.client)) {
                assert!(
                    u128::from(self.now - held.since) >= min_age.as_millis(),
                    "too young to go"
                );
            }
        }
        let goes = |held: &Held| gone.contains(&held.client);
        assert_eq!(self.held.iter().filter(|held| goes(held)).count(), gone.len());
        self.held.retain(|held| !goes(held));
        match end {
            End::Holds { cost, began } if at.is_some() && !began => {
                let held = self.held.iter_mut().find(|held| held.client == client);
                *held.expect("nobody goes for itself") = Held { client, cost, since };
            }
            End::Holds { cost, .. } => {
                self.remove(client);
                self.held.push(Held { client, cost, since: self.now });
            }
            End::Nothing | End::Refused { .. } => self.remove(client),
        }
    }

    /// `gone` are the first of those who may go, and as many as had to, if `used` bytes would be used without.
    fn check_gone(&self, may_go: &[Held], gone: &[usize], used: usize) {
        let is_gone = |held: &&Held| gone.contains(&held.client);
        let all: Vec<Held> = may_go.iter().filter(is_gone).copied().collect();
        assert_eq!(all.len(), gone.len(), "evicted one who may not go");
        let Some(lowest) = all.iter().map(|held| class(held.cost)).min() else { return };
        // What the one that went last freed; under `EvictLargest` it is one of those of the lowest class.
        let last = if let Policy::EvictLargest = self.policy {
            let mut stay = may_go.iter().filter(|held| !is_gone(held));
            assert!(stay.all(|held| class(held.cost) <= lowest), "not the largest");
            all.iter().filter(|held| class(held.cost) == lowest).map(|held| held.cost).max()
        } else {
            assert!(
                may_go.iter().zip(gone).all(|(held, gone)| held.client == *gone),
                "not the oldest"
            );
            all.last().map(|held| held.cost)
        };
        if let Some(last) = last {
            assert!(used - (sum(&all) - last) > self.budget, "evicted without need");
        }
    }
}
