-- The tables of a store. A new store is made from this file; an older one is brought to it by migrations.py.
-- Times are epoch seconds. JSON stands as text; a text over 1 MiB is a file beside the store (`@HASH`, see runs/payloads.py).

-- One row for each run: what `history` prints. Its journal is the truth; this is a projection of it.
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,            -- what other tables refer to: eight bytes at most, where the id is text
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    name TEXT NOT NULL,                 -- of the definition
    kind TEXT NOT NULL,                 -- loop, skill
    version TEXT NOT NULL,              -- hash of the definition that it is pinned to
    status TEXT NOT NULL CHECK (status IN
        ('queued', 'running', 'waiting', 'blocked', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    trigger TEXT NOT NULL,
    parent TEXT,                        -- id of the run that started it
    parent_path TEXT,                   -- and the step of that run
    parent_depth INTEGER,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    steps_done INTEGER NOT NULL DEFAULT 0 CHECK (steps_done >= 0),
    steps_total INTEGER NOT NULL DEFAULT 0 CHECK (steps_total >= 0),
    usage TEXT,                         -- JSON
    output TEXT,                        -- JSON, or `#DIGEST`: in `outputs`
    error TEXT,                         -- JSON
    wake_at REAL,                       -- when a waiting run is to be driven again
    input TEXT NOT NULL,                -- JSON
    event TEXT,                         -- JSON, the event that started it
    head INTEGER NOT NULL CHECK (head >= 1),                 -- number of events in its journal
    epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),     -- how often it was leased
    owner TEXT CHECK (owner IS NULL OR epoch > 0 OR status = 'queued'),  -- executor that leases it or has reserved it
    in_line INTEGER CHECK (in_line IN (0, 1)),               -- NULL: no limits on its start; 1: in a queue, not offered; 0: admitted
    CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled'))),
    CHECK ((parent IS NULL) = (parent_path IS NULL)),
    CHECK ((parent IS NULL) = (parent_depth IS NULL))
);
-- The history is listed by time, by status and by name. A listing by name alone merges one range for each status, so that no
-- further index has to be updated at every change of status.
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_status ON runs (status, created_at);
CREATE INDEX runs_by_name ON runs (name, status, created_at);
CREATE INDEX runs_by_parent ON runs (parent, created_at) WHERE parent IS NOT NULL;
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_free ON runs (created_at)
    WHERE owner IS NULL AND status IN ('queued', 'running', 'interrupted') AND in_line IS NOT 1;
CREATE INDEX runs_asleep ON runs (wake_at) WHERE owner IS NULL AND status IN ('waiting', 'blocked') AND wake_at IS NOT NULL;

-- The events of each run. With rowids: new events of a hundred runs land on one page, where a table ordered by (run, seq)
-- touches a hundred.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    event TEXT NOT NULL,                -- JSON, or `#DIGEST` and JSON without the output
    UNIQUE (run, seq)
);

-- Outputs of over a kilobyte, once for each run: the end of a step, the end of the run and its row all name the same one.
CREATE TABLE outputs (
    run INTEGER NOT NULL REFERENCES runs (key),
    digest TEXT NOT NULL,
    value TEXT NOT NULL,                -- JSON
    PRIMARY KEY (run, digest)
);

-- What the first events of a long journal add up to, so that an unfinished run is loaded without them. A cache.
CREATE TABLE snapshots (
    run INTEGER PRIMARY KEY REFERENCES runs (key),
    head INTEGER NOT NULL CHECK (head >= 1),  -- how many events
    state BLOB NOT NULL
);

CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never returns: whoever has seen number 7 has seen it for good
    run INTEGER NOT NULL REFERENCES runs (key),
    event TEXT NOT NULL
);
CREATE INDEX mail_by_run ON mail (run);

-- Who is told of the end of a run.
CREATE TABLE awaiters (
    target INTEGER NOT NULL REFERENCES runs (key),
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    PRIMARY KEY (target, run, path)
) WITHOUT ROWID;

-- Their ids tell a second delivery from a new event: kept for 30 days at least, and as long as they are gathered.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never returns: waits remember how far they have looked
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    name TEXT NOT NULL CHECK (name <> ''),
    data TEXT,
    received_at REAL NOT NULL,
    headers TEXT                        -- of a webhook's delivery
);
CREATE INDEX events_by_name ON events (name, received_at);
CREATE INDEX events_in_order ON events (name);

-- Steps that wait for an event or a person.
CREATE TABLE waits (
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('event', 'approval', 'unknown')),
    since REAL NOT NULL,
    due REAL,
    name TEXT NOT NULL CHECK ((name <> '') = (kind = 'event')),
    digest TEXT NOT NULL CHECK ((digest <> '') = (kind = 'approval')),
    subject TEXT,
    answered REAL,
    kept_since REAL NOT NULL DEFAULT 0, -- events that were received before are not offered
    opened INTEGER NOT NULL DEFAULT 0,  -- the newest event (seq) when the wait opened
    cursor INTEGER NOT NULL DEFAULT 0,  -- events up to this seq were offered
    offered INTEGER NOT NULL DEFAULT 0, -- how many were offered at once the last time
    pending INTEGER,                    -- the last mail of that offer; the next offer follows when it is consumed
    PRIMARY KEY (run, path)
) WITHOUT ROWID;
CREATE INDEX waits_for_event ON waits (name) WHERE kind = 'event';
CREATE INDEX waits_for_person ON waits (since) WHERE kind <> 'event';

-- The events that waits of a run took; no later wait of that run is offered one of them.
CREATE TABLE taken (
    run INTEGER NOT NULL REFERENCES runs (key),
    event INTEGER NOT NULL,             -- events.seq; the row may outlive the event
    PRIMARY KEY (run, event)
) WITHOUT ROWID;

-- Where a run's waits for a name begin to look: all events of that name between `since` and `cursor` were taken.
CREATE TABLE wait_starts (
    run INTEGER NOT NULL REFERENCES runs (key),
    name TEXT NOT NULL,
    since REAL NOT NULL,
    cursor INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- `state.*` of each definition's name.
CREATE TABLE memory (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    changed_at REAL NOT NULL,
    run INTEGER REFERENCES runs (key),  -- the run that set it; NULL: a person
    PRIMARY KEY (name, key)
) WITHOUT ROWID;

-- What was spent from each budget.
CREATE TABLE accounts (
    key TEXT PRIMARY KEY,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    usd REAL NOT NULL CHECK (usd >= 0)
) WITHOUT ROWID;

-- What llm calls that have not ended may still take.
CREATE TABLE reservations (
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    account TEXT NOT NULL,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (run, path, account)
) WITHOUT ROWID;
CREATE INDEX reservations_by_account ON reservations (account, tokens);

-- One verdict for each run and author.
CREATE TABLE feedback (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    verdict TEXT NOT NULL CHECK (verdict IN ('good', 'bad', 'false-positive')),
    note TEXT,
    by TEXT NOT NULL,                   -- a person's login name or a loop's name; '': a person, by an older agentctl
    person INTEGER NOT NULL CHECK (person IN (0, 1)),
    at REAL NOT NULL
);
CREATE UNIQUE INDEX feedback_by_author ON feedback (run, person, by);

-- Results recorded under an idempotency key or in a cache.
CREATE TABLE results (
    name TEXT NOT NULL,
    step TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,                  -- an id: the result keeps its promise after its run was pruned
    path TEXT NOT NULL,
    output TEXT NOT NULL,
    at REAL NOT NULL,
    until REAL,                         -- how long a cached result counts
    PRIMARY KEY (name, step, key)
) WITHOUT ROWID;

-- Who works on such a result (`held`), and who waits for it.
CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    step TEXT NOT NULL,
    key TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    held INTEGER NOT NULL CHECK (held IN (0, 1)),
    UNIQUE (run, path)
);
CREATE UNIQUE INDEX claims_held ON claims (name, step, key) WHERE held;
CREATE INDEX claims_in_line ON claims (name, step, key, id);

-- What a run needs room in, from its arrival to its end.
CREATE TABLE places (
    run INTEGER NOT NULL REFERENCES runs (key),
    grp TEXT NOT NULL CHECK (grp <> ''),
    capacity INTEGER NOT NULL CHECK (capacity >= 1),
    per REAL CHECK (per > 0),           -- of a throttle: admitted, the run needs it no more, and a row of `starts` counts instead
    rank REAL NOT NULL,                 -- minus the priority
    held INTEGER CHECK (held IN (0, 1)),  -- 0: waits in the queue; 1: admitted; NULL: ended
    leaving INTEGER NOT NULL DEFAULT 0 CHECK (leaving IN (0, 1)),
    PRIMARY KEY (run, grp),
    CHECK (per IS NULL OR held IS NOT 1)
) WITHOUT ROWID;
CREATE INDEX places_in_line ON places (grp, rank, run) WHERE held = 0;
CREATE INDEX places_held ON places (grp, run) WHERE held = 1;

-- Starts that still count for a throttle or a rate limit.
CREATE TABLE starts (
    id INTEGER PRIMARY KEY,
    grp TEXT NOT NULL CHECK (grp <> ''),
    at REAL NOT NULL,
    until REAL NOT NULL,
    run INTEGER                         -- of a throttle: if that run never starts, the start does not count
);
CREATE INDEX starts_by_group ON starts (grp, until);
CREATE INDEX starts_by_end ON starts (until);

-- The run that `dedupe` names to later ones.
CREATE TABLE firsts (
    grp TEXT PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX firsts_by_end ON firsts (until);

CREATE TABLE definitions (
    version TEXT PRIMARY KEY,           -- content hash
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    file TEXT NOT NULL,
    source TEXT NOT NULL,               -- the YAML text
    compiled BLOB NOT NULL,             -- so that no YAML is parsed to resume a run
    format TEXT NOT NULL,               -- of `compiled`; compiled again from `source` when it differs
    registered_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE deployments (
    name TEXT PRIMARY KEY CHECK (name <> ''),
    kind TEXT NOT NULL CHECK (kind IN ('loop', 'skill')),
    file TEXT NOT NULL,
    version TEXT NOT NULL,              -- the last good one; '': there never was one
    deployed_at REAL NOT NULL,
    problem TEXT,
    gone INTEGER NOT NULL CHECK (gone IN (0, 1)),
    paused_at REAL,                     -- since when a pause lasts; ended ones are in `pauses`
    root TEXT NOT NULL                  -- of the project, relative to the store's folder
) WITHOUT ROWID;

-- The event triggers of deployed definitions.
CREATE TABLE subscriptions (
    pattern TEXT NOT NULL CHECK (pattern <> ''),
    name TEXT NOT NULL REFERENCES deployments (name),
    trigger INTEGER NOT NULL CHECK (trigger >= 0),
    PRIMARY KEY (pattern, name, trigger)
) WITHOUT ROWID;
CREATE INDEX subscriptions_by_name ON subscriptions (name);

-- The files that file triggers have dealt with.
CREATE TABLE files (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) WITHOUT ROWID;

CREATE TABLE pauses (
    name TEXT NOT NULL REFERENCES deployments (name),
    began_at REAL NOT NULL,
    ended_at REAL NOT NULL CHECK (ended_at >= began_at),
    PRIMARY KEY (name, began_at)
) WITHOUT ROWID;

CREATE TABLE schedules (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL CHECK (name <> ''),
    schedule TEXT NOT NULL CHECK (schedule <> ''),
    settled REAL,                       -- up to when; NULL while nobody follows the schedule
    UNIQUE (name, schedule)
);

CREATE TABLE slots (
    schedule INTEGER NOT NULL REFERENCES schedules (id),
    slot_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'skipped', 'missed', 'overlapped')),
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    run TEXT CHECK ((run IS NOT NULL) = (outcome = 'fired')),  -- an id: the row outlives the run
    PRIMARY KEY (schedule, slot_ms)
) WITHOUT ROWID;

-- Events that are gathered for one run, by `debounce` (the newest is kept) or `batch` (all are).
CREATE TABLE piles (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    trigger INTEGER NOT NULL,
    grp TEXT NOT NULL,
    oldest REAL NOT NULL,
    newest REAL NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 1),
    seconds REAL NOT NULL,
    size INTEGER CHECK (size >= 1),     -- of a batch; NULL: debounce
    due REAL NOT NULL,                  -- follows from the rest
    UNIQUE (name, trigger, grp)
);
CREATE INDEX piles_by_due ON piles (due);

CREATE TABLE piled (
    pile INTEGER NOT NULL REFERENCES piles (id),
    event INTEGER NOT NULL REFERENCES events (seq),
    depth INTEGER NOT NULL DEFAULT 0,   -- how many emitted events led to this one, itself included
    PRIMARY KEY (pile, event)
) WITHOUT ROWID;
CREATE INDEX piled_by_event ON piled (event);
