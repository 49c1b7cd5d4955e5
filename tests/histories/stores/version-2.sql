PRAGMA auto_vacuum = 2;
PRAGMA application_id = 1634165620;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE accounts (
    key TEXT PRIMARY KEY,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    usd REAL NOT NULL CHECK (usd >= 0)
) WITHOUT ROWID;
CREATE TABLE awaiters (
    target INTEGER NOT NULL REFERENCES runs (key),
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    PRIMARY KEY (target, run, path)
) WITHOUT ROWID;
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
CREATE TABLE definitions (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    file TEXT NOT NULL,
    source TEXT NOT NULL,
    compiled BLOB NOT NULL,
    format TEXT NOT NULL,
    registered_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "definitions" VALUES('3b9f63542274d27e2426377b28bee85ca4d5fc177ed137b47553ca2e98014758','old','loop','loops/old.yaml','loop: old
triggers: [{event: go}]
steps:
  - {id: first, set: {kept: true}}
  - {id: nap, wait: {event: wake-up}}
  - {id: last, set: {first: "${{ steps.first.output.kept }}", by: "${{ steps.nap.output.data.who }}"}}
',X'DE0005A46B696E64A46C6F6F70A46E616D65A36F6C64A5737465707393DE0005A26964A56669727374A6616374696F6E83A46B696E64A47461736BA475736573A3736574A6706172616D739292A36C697481A46B657074C3A0A475736573A3736574A46C696E6504A5726574727980DE0006A26964A36E6170A6616374696F6E82A46B696E64A477616974A56576656E749292A36C6974A777616B652D7570A777616B652D7570A475736573A477616974A46C696E6505A56E6565647391A56669727374A5726574727980DE0006A26964A46C617374A6616374696F6E83A46B696E64A47461736BA475736573A3736574A6706172616D739292A36D617082A5666972737496A47061746804A57374657073A56669727374A66F7574707574A46B657074A2627997A47061746804A57374657073A36E6170A66F7574707574A464617461A377686FA0A475736573A3736574A46C696E6506A56E6565647392A36E6170A56669727374A5726574727980A874726967676572739182A46B696E64A56576656E74A477686174A2676FA4666C6F7780','9edda5c21bff1745',1.79588502792107105252e+09);
INSERT INTO "definitions" VALUES('3c6551a183d92b9a936aed7a67db521ba0582152e6643ac88ab026508938bd6c','done','loop','loops/done.yaml','loop: done
steps: [{set: {answer: 42}}]
',X'DE0004A46B696E64A46C6F6F70A46E616D65A4646F6E65A5737465707391DE0005A26964A57365745F31A6616374696F6E83A46B696E64A47461736BA475736573A3736574A6706172616D739292A36C697481A6616E737765722AA0A475736573A3736574A46C696E6502A5726574727980A4666C6F7780','9edda5c21bff1745',1.79588502706756663329e+09);
CREATE TABLE deployments (
    name TEXT PRIMARY KEY CHECK (name <> ''),
    kind TEXT NOT NULL CHECK (kind IN ('loop', 'skill')),
    file TEXT NOT NULL,
    version TEXT NOT NULL,
    deployed_at REAL NOT NULL,
    problem TEXT,
    gone INTEGER NOT NULL CHECK (gone IN (0, 1)),
    paused_at REAL,
    root TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "deployments" VALUES('done','loop','loops/done.yaml','3c6551a183d92b9a936aed7a67db521ba0582152e6643ac88ab026508938bd6c',1.79588502909250736236e+09,NULL,0,NULL,'..');
INSERT INTO "deployments" VALUES('old','loop','loops/old.yaml','3b9f63542274d27e2426377b28bee85ca4d5fc177ed137b47553ca2e98014758',1.79588502909250736236e+09,NULL,0,NULL,'..');
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    name TEXT NOT NULL CHECK (name <> ''),
    data TEXT,
    received_at REAL NOT NULL,
    headers TEXT
);
INSERT INTO "events" VALUES(1,'3q2ef06ddlmc:succeeded:6','agentctl.run.succeeded','{"run_id":"3q2ef06ddlmc","loop":"done","status":"succeeded","error":null,"trigger":"manual"}',1.79588502712934374805e+09,NULL);
INSERT INTO "events" VALUES(2,'evt-tuakf5y7cciv','go','{}',1.79588502912557792666e+09,NULL);
CREATE TABLE feedback (
    run INTEGER PRIMARY KEY REFERENCES runs (key),
    verdict TEXT NOT NULL CHECK (verdict IN ('good', 'bad', 'false-positive')),
    note TEXT,
    at REAL NOT NULL
);
INSERT INTO "feedback" VALUES(1,'good','as it should be',1.79588502873784351351e+09);
CREATE TABLE files (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) WITHOUT ROWID;
CREATE TABLE firsts (
    grp TEXT PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    event TEXT NOT NULL,
    UNIQUE (run, seq)
);
INSERT INTO "journal" VALUES(1,1,1,'{"type":"RunCreated","at":1795885027.0555277,"run_id":"3q2ef06ddlmc","name":"done","kind":"loop","version":"3c6551a183d92b9a936aed7a67db521ba0582152e6643ac88ab026508938bd6c","rules":2}');
INSERT INTO "journal" VALUES(2,1,2,'{"type":"RunStarted","at":1795885027.1114137}');
INSERT INTO "journal" VALUES(3,1,3,'{"type":"StepStarted","at":1795885027.1114137,"path":"set_1","input":{"answer":42}}');
INSERT INTO "journal" VALUES(4,1,4,'{"type":"StepSucceeded","at":1795885027.1280346,"path":"set_1","attempt":1,"output":{"answer":42}}');
INSERT INTO "journal" VALUES(5,1,5,'{"type":"Settled","at":1795885027.1280594,"status":"succeeded","output":{"answer":42}}');
INSERT INTO "journal" VALUES(6,1,6,'{"type":"RunFinished","at":1795885027.1280594,"status":"succeeded","output":{"answer":42}}');
INSERT INTO "journal" VALUES(7,2,1,'{"type":"RunCreated","at":1795885027.913854,"run_id":"ydrlx2qahb4p","name":"old","kind":"loop","version":"3b9f63542274d27e2426377b28bee85ca4d5fc177ed137b47553ca2e98014758","rules":2}');
INSERT INTO "journal" VALUES(8,2,2,'{"type":"RunStarted","at":1795885027.9470885}');
INSERT INTO "journal" VALUES(9,2,3,'{"type":"StepStarted","at":1795885027.9470885,"path":"first","input":{"kept":true}}');
INSERT INTO "journal" VALUES(10,2,4,'{"type":"StepSucceeded","at":1795885027.9613535,"path":"first","attempt":1,"output":{"kept":true}}');
INSERT INTO "journal" VALUES(11,2,5,'{"type":"StepStarted","at":1795885027.9613767,"path":"nap","input":{"event":"wake-up"}}');
INSERT INTO "journal" VALUES(12,3,1,'{"type":"RunCreated","at":1795885029.1238503,"run_id":"fbnkmwd6huf0","name":"old","kind":"loop","version":"3b9f63542274d27e2426377b28bee85ca4d5fc177ed137b47553ca2e98014758","trigger":"event","event":{"name":"go","data":{},"id":"evt-tuakf5y7cciv","received_at":"2026-11-28T16:57:09.126Z"},"rules":2}');
CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (key),
    event TEXT NOT NULL
);
CREATE TABLE memory (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    changed_at REAL NOT NULL,
    run INTEGER REFERENCES runs (key),
    PRIMARY KEY (name, key)
) WITHOUT ROWID;
CREATE TABLE pauses (
    name TEXT NOT NULL REFERENCES deployments (name),
    began_at REAL NOT NULL,
    ended_at REAL NOT NULL CHECK (ended_at >= began_at),
    PRIMARY KEY (name, began_at)
) WITHOUT ROWID;
CREATE TABLE piled (
    pile INTEGER NOT NULL REFERENCES piles (id),
    event INTEGER NOT NULL REFERENCES events (seq),
    PRIMARY KEY (pile, event)
) WITHOUT ROWID;
CREATE TABLE piles (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    trigger INTEGER NOT NULL,
    grp TEXT NOT NULL,
    oldest REAL NOT NULL,
    newest REAL NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 1),
    seconds REAL NOT NULL,
    size INTEGER CHECK (size >= 1),
    due REAL NOT NULL,
    UNIQUE (name, trigger, grp)
);
CREATE TABLE places (
    run INTEGER NOT NULL REFERENCES runs (key),
    grp TEXT NOT NULL CHECK (grp <> ''),
    capacity INTEGER NOT NULL CHECK (capacity >= 1),
    per REAL CHECK (per > 0),
    rank REAL NOT NULL,
    held INTEGER CHECK (held IN (0, 1)),
    leaving INTEGER NOT NULL DEFAULT 0 CHECK (leaving IN (0, 1)),
    PRIMARY KEY (run, grp),
    CHECK (per IS NULL OR held IS NOT 1)
) WITHOUT ROWID;
CREATE TABLE reservations (
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    account TEXT NOT NULL,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (run, path, account)
) WITHOUT ROWID;
CREATE TABLE results (
    name TEXT NOT NULL,
    step TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    path TEXT NOT NULL,
    output TEXT NOT NULL,
    at REAL NOT NULL,
    until REAL,
    PRIMARY KEY (name, step, key)
) WITHOUT ROWID;
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN
        ('queued', 'running', 'waiting', 'blocked', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    trigger TEXT NOT NULL,
    parent TEXT,
    parent_path TEXT,
    parent_depth INTEGER,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    steps_done INTEGER NOT NULL DEFAULT 0 CHECK (steps_done >= 0),
    steps_total INTEGER NOT NULL DEFAULT 0 CHECK (steps_total >= 0),
    usage TEXT,
    output TEXT,
    error TEXT,
    wake_at REAL,
    input TEXT NOT NULL,
    event TEXT,
    head INTEGER NOT NULL CHECK (head >= 1),
    epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    owner TEXT CHECK (owner IS NULL OR epoch > 0 OR status = 'queued'),
    in_line INTEGER CHECK (in_line IN (0, 1)),
    CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled'))),
    CHECK ((parent IS NULL) = (parent_path IS NULL)),
    CHECK ((parent IS NULL) = (parent_depth IS NULL))
);
INSERT INTO "runs" VALUES(1,'3q2ef06ddlmc','done','loop','3c6551a183d92b9a936aed7a67db521ba0582152e6643ac88ab026508938bd6c','succeeded','manual',NULL,NULL,NULL,1.79588502705552768706e+09,1.79588502711141371724e+09,1.7958850271280593872e+09,1,1,NULL,'{"answer":42}',NULL,NULL,'{}',NULL,6,1,NULL,NULL);
INSERT INTO "runs" VALUES(2,'ydrlx2qahb4p','old','loop','3b9f63542274d27e2426377b28bee85ca4d5fc177ed137b47553ca2e98014758','waiting','manual',NULL,NULL,NULL,1.79588502791385388373e+09,1.79588502794708848001e+09,NULL,1,3,NULL,NULL,NULL,NULL,'{}',NULL,5,1,NULL,NULL);
INSERT INTO "runs" VALUES(3,'fbnkmwd6huf0','old','loop','3b9f63542274d27e2426377b28bee85ca4d5fc177ed137b47553ca2e98014758','queued','event',NULL,NULL,NULL,1.79588502912385034561e+09,NULL,NULL,0,0,NULL,NULL,NULL,NULL,'{}','{"name":"go","data":{},"id":"evt-tuakf5y7cciv","received_at":"2026-11-28T16:57:09.126Z"}',1,0,NULL,NULL);
CREATE TABLE schedules (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL CHECK (name <> ''),
    schedule TEXT NOT NULL CHECK (schedule <> ''),
    settled REAL,
    UNIQUE (name, schedule)
);
CREATE TABLE slots (
    schedule INTEGER NOT NULL REFERENCES schedules (id),
    slot_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'skipped', 'missed', 'overlapped')),
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    run TEXT CHECK ((run IS NOT NULL) = (outcome = 'fired')),
    PRIMARY KEY (schedule, slot_ms)
) WITHOUT ROWID;
CREATE TABLE starts (
    id INTEGER PRIMARY KEY,
    grp TEXT NOT NULL CHECK (grp <> ''),
    at REAL NOT NULL,
    until REAL NOT NULL,
    run INTEGER
);
CREATE TABLE subscriptions (
    pattern TEXT NOT NULL CHECK (pattern <> ''),
    name TEXT NOT NULL REFERENCES deployments (name),
    trigger INTEGER NOT NULL CHECK (trigger >= 0),
    PRIMARY KEY (pattern, name, trigger)
) WITHOUT ROWID;
INSERT INTO "subscriptions" VALUES('go','old',0);
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
    PRIMARY KEY (run, path)
) WITHOUT ROWID;
INSERT INTO "waits" VALUES(2,'nap','event',1.79588502796137666709e+09,NULL,'wake-up','',NULL,NULL);
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_status ON runs (status, created_at);
CREATE INDEX runs_by_name ON runs (name, status, created_at);
CREATE INDEX runs_by_parent ON runs (parent, created_at) WHERE parent IS NOT NULL;
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_free ON runs (created_at)
    WHERE owner IS NULL AND status IN ('queued', 'running', 'interrupted') AND in_line IS NOT 1;
CREATE INDEX runs_asleep ON runs (wake_at) WHERE owner IS NULL AND status IN ('waiting', 'blocked') AND wake_at IS NOT NULL;
CREATE INDEX mail_by_run ON mail (run);
CREATE INDEX events_by_name ON events (name, received_at);
CREATE INDEX waits_for_event ON waits (name) WHERE kind = 'event';
CREATE INDEX waits_for_person ON waits (since) WHERE kind <> 'event';
CREATE INDEX reservations_by_account ON reservations (account, tokens);
CREATE UNIQUE INDEX claims_held ON claims (name, step, key) WHERE held;
CREATE INDEX claims_in_line ON claims (name, step, key, id);
CREATE INDEX places_in_line ON places (grp, rank, run) WHERE held = 0;
CREATE INDEX places_held ON places (grp, run) WHERE held = 1;
CREATE INDEX starts_by_group ON starts (grp, until);
CREATE INDEX starts_by_end ON starts (until);
CREATE INDEX firsts_by_end ON firsts (until);
CREATE INDEX subscriptions_by_name ON subscriptions (name);
CREATE INDEX piles_by_due ON piles (due);
CREATE INDEX piled_by_event ON piled (event);
DELETE FROM "sqlite_sequence";
COMMIT;
