"""The tables of the queue's database: those of version 1, and what makes each next version of the one before.

A queue that a user has is never dropped: a change of a table is one more entry of UPGRADES, with a test in
tests/jobs/store/test_database.py that takes a queue of the version before.
"""

from __future__ import annotations

FIRST_SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    priority INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    folder TEXT NOT NULL,           -- below the folder of this file; absolute before version 9
    device_kind TEXT NOT NULL,      -- cpu or gpu
    num_devices INTEGER NOT NULL,
    owner_uid INTEGER NOT NULL,
    created_t REAL NOT NULL,
    started_t REAL,
    ended_t REAL,
    wants_resume INTEGER NOT NULL DEFAULT 0,
    stop_asked INTEGER NOT NULL DEFAULT 0,
    journal_seen INTEGER NOT NULL DEFAULT 0,
    vanished INTEGER NOT NULL DEFAULT 0,
    vanished_step INTEGER NOT NULL DEFAULT -1
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state);
CREATE TABLE leases (
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    device TEXT NOT NULL,           -- cpu, or the GPU's UUID
    slots INTEGER NOT NULL,
    PRIMARY KEY (job_id, device)
) STRICT;
CREATE TABLE summaries (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    summary TEXT NOT NULL           -- of its journal, when its runner ended
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    t REAL NOT NULL,
    type TEXT NOT NULL,
    job_id INTEGER,
    run_id TEXT,
    text TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE TABLE answers (
    key TEXT NOT NULL,
    uid INTEGER NOT NULL,
    t REAL NOT NULL,
    request TEXT NOT NULL,          -- method, path and a digest of the body
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (uid, key)
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    t REAL NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    request TEXT NOT NULL,
    key TEXT,
    status INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;
"""
"""Of version 1."""

UPGRADES = (
    "ALTER TABLE leases ADD COLUMN parts INTEGER NOT NULL DEFAULT 1;",  # of the GPU, of which it has one
    """
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    spec TEXT NOT NULL,             -- SweepSpec
    recipe_toml TEXT NOT NULL,
    recipe_name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    owner_uid INTEGER NOT NULL,
    created_t REAL NOT NULL,
    ended_t REAL,
    winner INTEGER
) STRICT;
CREATE TABLE sweep_settings (
    sweep_id INTEGER NOT NULL REFERENCES sweeps (id),
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    job_id INTEGER UNIQUE REFERENCES jobs (id),
    rung INTEGER NOT NULL DEFAULT 0,
    losses TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (sweep_id, number)
) STRICT;
""",
    """
CREATE TABLE marker_grids (
    run_job_id INTEGER NOT NULL REFERENCES jobs (id),
    marker REAL NOT NULL,           -- share of the budget
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    export TEXT,
    grid_job_id INTEGER UNIQUE REFERENCES jobs (id),
    PRIMARY KEY (run_job_id, marker)
) STRICT;
""",
    """
CREATE TABLE drained_devices (
    device TEXT PRIMARY KEY,        -- cpu, or the GPU's UUID
    t REAL NOT NULL,
    asked_by TEXT NOT NULL
) STRICT;
""",
    """
CREATE TABLE dependencies (
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    on_job_id INTEGER NOT NULL REFERENCES jobs (id),
    condition TEXT NOT NULL,        -- done, ended or marker
    marker REAL,                    -- share of the budget of a run
    state TEXT NOT NULL,
    PRIMARY KEY (job_id, on_job_id)
) STRICT;
""",
    """
CREATE TABLE start_times (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    begin_t REAL,                   -- not before
    from_minute INTEGER,            -- of the day, in local time; NULL for the whole day
    until_minute INTEGER
) STRICT;
""",
    """
CREATE TABLE retries (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    num_allowed INTEGER NOT NULL,
    num_used INTEGER NOT NULL
) STRICT;
""",
    # So that the state folder can be moved. A job's folder is known from its numbers, wherever the state folder was.
    """
UPDATE jobs SET folder = 'runs/' || run_id
WHERE kind = 'pretrain' AND folder LIKE '%/runs/' || run_id;
UPDATE jobs SET folder = 'runs/' || run_id || printf('/finetunes/%06d', id)
WHERE kind != 'pretrain' AND folder LIKE '%/runs/' || run_id || printf('/finetunes/%06d', id);
UPDATE jobs SET folder = printf('finetunes/%06d', id)
WHERE kind != 'pretrain' AND folder LIKE '/%' || printf('/finetunes/%06d', id)
AND folder NOT LIKE '%/runs/' || run_id || '/%';
UPDATE jobs SET folder = printf('commands/%06d', id)
WHERE kind = 'command' AND folder LIKE '%' || printf('/commands/%06d', id);
""",
    """
CREATE TABLE budget_milestones (
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    share REAL NOT NULL,            -- of the run's budget, that was reported as spent
    PRIMARY KEY (job_id, share)
) STRICT;
""",
    # Among jobs of the same priority; NULL for a job that nobody has moved, whose place is its number.
    "ALTER TABLE jobs ADD COLUMN place REAL;",
    # Empty for a job without a group.
    "ALTER TABLE jobs ADD COLUMN group_name TEXT NOT NULL DEFAULT '';",
    """
CREATE TABLE job_energy (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    t REAL NOT NULL,                -- when it was last added up
    gpu_j REAL NOT NULL,
    measured_s REAL NOT NULL,       -- seconds of one GPU, as unmeasured_s
    unmeasured_s REAL NOT NULL,
    boot_id TEXT NOT NULL,          -- of the counters
    counters_j TEXT NOT NULL        -- of each GPU that it has, as the card counts
) STRICT;
""",
    """
CREATE TABLE lends (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_job_id INTEGER NOT NULL REFERENCES jobs (id),
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    is_hot INTEGER NOT NULL,
    asked_by TEXT NOT NULL,
    devices TEXT NOT NULL,          -- JSON: device to slots, as the run had them
    created_t REAL NOT NULL,
    lent_t REAL,
    returned_t REAL,
    ended_t REAL,
    save_s REAL,                    -- charged for the save
    start_s REAL                    -- charged until the first step after it
) STRICT;
CREATE INDEX lends_by_state ON lends (state);
CREATE TABLE lend_jobs (
    lend_id INTEGER NOT NULL REFERENCES lends (id),
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    state TEXT NOT NULL,
    expected_s REAL,                -- from its start to its end
    PRIMARY KEY (lend_id, job_id)
) STRICT;
""",
    """
CREATE TABLE memory_needs (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    memory_bytes INTEGER NOT NULL   -- of each GPU
) STRICT;
ALTER TABLE leases ADD COLUMN memory_bytes INTEGER; -- of the GPU, that the job may use; NULL for its share by parts
ALTER TABLE leases ADD COLUMN of_bytes INTEGER;     -- that the GPU has; NULL as above
""",
    """
CREATE TABLE software (
    digest TEXT PRIMARY KEY,
    content TEXT NOT NULL           -- JSON: bertd.records.Software
) STRICT;
CREATE TABLE job_software (
    job_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    digest TEXT NOT NULL REFERENCES software (digest)
) STRICT;
""",
    # Of all settings of a sweep; empty for none.
    "ALTER TABLE sweeps ADD COLUMN group_name TEXT NOT NULL DEFAULT '';",
    """
ALTER TABLE job_energy ADD COLUMN cpu_j REAL NOT NULL DEFAULT 0;  -- estimated
ALTER TABLE job_energy ADD COLUMN cpu_measured_s REAL NOT NULL DEFAULT 0; -- seconds over which cpu_j was estimated
""",
)
"""What makes each next version of the one before."""

SCHEMA_VERSION = 1 + len(UPGRADES)
