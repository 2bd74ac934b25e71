"""What does one who is woken at night look at first? The dashboard of the service."""

from schemas.dashboards import PROGRAMS, Dashboard, Panel, Query, Row, heat, quantiles

_ENDED = f"penstock_questions_ended_total{{{PROGRAMS}}}"
_BADLY = f'penstock_questions_ended_total{{{PROGRAMS}, status=~"failed|expired"}}'
_OK_OR = ((0, "runs", "green"), (1, "stopped", "red"))
_R = "[$__rate_interval]"
_MEMBERS = "and on (namespace, job, instance) penstock_slots"
"""A PodMonitor gives the gateway's processes the same job."""

FINE = Row(
    "Is it fine?",
    (
        Panel(
            "Members",
            "Processes that are scraped. None: the service is away, or scaled to zero.",
            "short",
            (Query("count(penstock_slots{@})", "members"),),
            "stat",
            3,
            4,
            alert="PenstockAbsent",
        ),
        Panel(
            "Ended",
            "Questions that ended in a second, however they did.",
            "reqps",
            (Query(f"sum(rate({_ENDED}{_R}))", "ended"),),
            "stat",
            3,
            4,
            alert="PenstockNoProgress",
        ),
        Panel(
            "Not answered",
            "Of these, the part that failed or ran out of time. Below, dead letters say why.",
            "percentunit",
            (
                Query(
                    f"(sum(rate({_BADLY}{_R})) or vector(0)) / (sum(rate({_ENDED}{_R})) > 0)",
                    "failed or expired",
                ),
            ),
            "stat",
            3,
            4,
            steps=((0.01, "orange"), (0.05, "red")),
            alert="PenstockDeadLetters",
            most=1,
        ),
        Panel(
            "Backlog",
            "Questions not done: they wait or run. Less than the lag, which counts what is done "
            "beyond the commit.",
            "short",
            (Query("sum(penstock_backlog{@})", "questions"),),
            "stat",
            3,
            4,
            alert="PenstockBacklogGrowing",
        ),
        Panel(
            "Oldest unresolved",
            "Since the record was fetched that holds back a partition's commits longest. 25 "
            "minutes are more than any question may take.",
            "s",
            (Query("max(penstock_oldest_unresolved_seconds{@})", "oldest"),),
            "stat",
            3,
            4,
            steps=((600, "orange"), (1500, "red")),
            alert="PenstockStuckHead",
        ),
        Panel(
            "First token, p95",
            "From a question's first start to its first token: 95 of 100 wait no longer.",
            "s",
            (quantiles("penstock_first_token_seconds")[1],),
            "stat",
            3,
            4,
        ),
        Panel(
            "What stops it",
            "Whether somewhere nothing starts: too many dead letters (gate), a model that is not "
            "called, an operator's pause, or no broker that answers.",
            "short",
            (
                Query("max(penstock_gate_shut{@})", "gate"),
                Query("max(penstock_model_shut{@})", "model"),
                Query("max(penstock_paused{@}) or vector(0)", "pause"),
                Query("1 - min(penstock_kafka_reachable{@})", "Kafka"),
            ),
            "stat",
            6,
            4,
            words=_OK_OR,
            alert="PenstockGateShut",
        ),
    ),
)

QUESTIONS = Row(
    "Questions",
    (
        Panel(
            "Ended, by status",
            "Completions acknowledged by Kafka. `duplicate`: the id was asked before, and no model "
            "was called.",
            "reqps",
            (Query(f"sum by (status) (rate({_ENDED}{_R})) > 0", "{{status}}"),),
            stacked=True,
            colours=(
                ("completed", "green"),
                ("failed", "red"),
                ("expired", "orange"),
                ("cancelled", "gray"),
                ("duplicate", "blue"),
            ),
            alert="PenstockNoProgress",
        ),
        Panel(
            "Received, ended",
            "In and out. While more come in than go out the backlog grows, and partitions are "
            "paused. Recovered ones were done before a member took their partition over.",
            "reqps",
            (
                Query(f"sum(rate(penstock_questions_received_total{{@}}{_R}))", "received"),
                Query(
                    f"sum(rate(penstock_questions_ended_total{{@}}{_R}))",
                    "ended",
                ),
                Query(f"sum(rate(penstock_questions_recovered_total{{@}}{_R}))", "recovered"),
            ),
            alert="PenstockBacklogGrowing",
        ),
        Panel(
            "Ended, by program",
            "Which programs are asked.",
            "reqps",
            (Query(f"sum by (program) (rate({_ENDED}{_R}))", "{{program}}"),),
            stacked=True,
        ),
    ),
)

LATENCY = Row(
    "Latency",
    (
        Panel(
            "Waiting for the first start",
            "From when a question was asked, by its record's timestamp, to its first start. It "
            "grows with the backlog; more members or slots shorten it, if the model takes more.",
            "s",
            quantiles("penstock_queued_seconds"),
            width=6,
            exemplars=True,
            alert="PenstockBacklogGrowing",
        ),
        Panel(
            "Time to first token",
            "From the first start to the first token: the provider's queue and prompt, and "
            "attempts that failed before.",
            "s",
            quantiles("penstock_first_token_seconds"),
            width=6,
            exemplars=True,
        ),
        Panel(
            "Time per token",
            "From one piece of text to the next: how fast the model speaks, and Kafka takes it.",
            "s",
            quantiles("penstock_time_per_token_seconds"),
            width=6,
            exemplars=True,
        ),
        Panel(
            "Duration",
            "From a question's first start to its end, all attempts together.",
            "s",
            quantiles("penstock_question_duration_seconds"),
            width=6,
            exemplars=True,
        ),
        Panel(
            "Time to first token, spread",
            "Two bands are two kinds of questions, or a provider of two minds.",
            "s",
            heat("penstock_first_token_seconds"),
            "heatmap",
            12,
            exemplars=True,
        ),
        Panel(
            "Duration, spread",
            "What lies near a program's time limit expires soon.",
            "s",
            heat("penstock_question_duration_seconds"),
            "heatmap",
            12,
            exemplars=True,
        ),
    ),
)

POOL = Row(
    "Pool",
    (
        Panel(
            "Slots",
            "Running against the slots of all members. All slots taken and many waiting: more "
            "members, more slots, or a faster model.",
            "short",
            (
                Query("sum(penstock_slots{@})", "slots"),
                Query("sum(penstock_in_flight{@})", "running"),
            ),
            width=6,
        ),
        Panel(
            "Waiting",
            "Fetched and not started, or between two attempts. At `INTAKE__HIGH` a partition is "
            "paused.",
            "short",
            (
                Query("sum(penstock_waiting{@})", "waiting"),
                Query("sum(penstock_retrying{@})", "between two attempts"),
            ),
            width=6,
        ),
        Panel(
            "Running, by member",
            "One that runs much less than the others has few partitions, or few that are asked.",
            "short",
            (Query("sum by (instance) (penstock_in_flight{@})", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Runs that do not end",
            "They were told to and do not, each keeps its slot: a program in a thread that does "
            "not come back. A restart frees them.",
            "short",
            (Query("sum by (instance) (penstock_abandoned{@})", "{{instance}}"),),
            width=6,
            steps=((1, "red"),),
            alert="PenstockAbandonedRuns",
        ),
    ),
)

PARTITIONS = Row(
    "Partitions",
    (
        Panel(
            "Backlog",
            "Questions not done, by partition. One that stands out has a key that is asked more "
            "than the others, or a head that is stuck.",
            "short",
            (Query("sum by (partition) (penstock_backlog{@})", "{{partition}}"),),
            stacked=True,
            alert="PenstockBacklogGrowing",
        ),
        Panel(
            "Lag",
            "Records from the last commit to the end of the log, as Kafka's own tools count them, "
            "markers of transactions included.",
            "short",
            (Query("sum by (partition) (penstock_commit_lag{@})", "{{partition}}"),),
            stacked=True,
        ),
        Panel(
            "Oldest unresolved",
            "Since the record was fetched that holds back the commits.",
            "s",
            (Query("max by (partition) (penstock_oldest_unresolved_seconds{@})", "{{partition}}"),),
            steps=((1500, "red"),),
            alert="PenstockStuckHead",
        ),
        Panel(
            "Since the last commit",
            "It is repeated every 3 s, whether something changed or not; without it the lease on "
            "the partitions runs out.",
            "s",
            (Query("max by (partition) (penstock_commit_age_seconds{@})", "{{partition}}"),),
            width=6,
            steps=((30, "red"),),
            alert="PenstockCommitsOld",
        ),
        Panel(
            "Offset map",
            "What the last commit says of offsets done beyond it, as a part of what it may. From "
            "75 % on nothing starts that would make it grow: the head holds up the rest.",
            "percentunit",
            (
                Query(
                    "max by (partition) (penstock_offset_map_bytes{@} / ignoring (partition) "
                    "group_left () penstock_offset_map_limit_bytes{@})",
                    "{{partition}}",
                ),
            ),
            width=6,
            steps=((0.6, "orange"), (0.75, "red")),
            alert="PenstockOffsetMapNearFull",
            most=1,
        ),
        Panel(
            "Assigned, paused",
            "Partitions of the members; paused are those from which nothing is fetched now: enough "
            "wait, or nothing of them may start.",
            "short",
            (
                Query("sum(penstock_assigned_partitions{@})", "assigned"),
                Query("sum(penstock_paused_partitions{@})", "paused"),
            ),
            width=6,
        ),
        Panel(
            "Paused by an operator",
            "What somebody has paused with `penstock pause`, until `penstock resume`.",
            "short",
            (Query("max by (scope) (penstock_paused{@})", "{{scope}}"),),
            "state-timeline",
            6,
            words=((0, "runs", "green"), (1, "paused", "orange")),
        ),
    ),
)

DELIVERY = Row(
    "Delivery",
    (
        Panel(
            "Rebalances",
            "In five minutes, of the member that saw most. Two for each member that restarts; "
            "without end, members are dropped and come back.",
            "short",
            (
                Query(
                    "max(increase(penstock_rebalance_duration_seconds_count{@}[5m]))",
                    "rebalances",
                ),
            ),
            width=6,
            alert="PenstockRebalanceStorm",
        ),
        Panel(
            "Rebalance, duration",
            "From when the group took partitions until it gave some. What runs goes on meanwhile.",
            "s",
            quantiles("penstock_rebalance_duration_seconds", "@"),
            width=6,
            alert="PenstockRebalanceStorm",
        ),
        Panel(
            "Running elsewhere",
            "Questions that go on in the member that began them after their partition has moved: "
            "counted where they run, and where their partition is now.",
            "short",
            (
                Query("sum(penstock_handed_over{@})", "still running here"),
                Query("sum(penstock_held{@})", "waited for there"),
            ),
            width=6,
        ),
        Panel(
            "What moved",
            "In an hour. Taken over: begun anew, for the process that ran it has died or ran out "
            "of time. Cut off: given up by us, and perhaps paid for twice.",
            "short",
            (
                Query("sum(increase(penstock_questions_handed_over_total{@}[1h]))", "handed over"),
                Query("sum(increase(penstock_questions_taken_over_total{@}[1h]))", "taken over"),
                Query("sum(increase(penstock_questions_cut_off_total{@}[1h]))", "cut off"),
            ),
            width=6,
        ),
        Panel(
            "Log resets",
            "In an hour: a partition's log had lost what was next. `retention`: questions that "
            "nobody has read are gone.",
            "short",
            (
                Query(
                    "sum by (cause) (increase(penstock_log_resets_total{@}[1h]))",
                    "{{cause}}",
                ),
            ),
            width=6,
            steps=((1, "red"),),
            alert="PenstockLogReset",
        ),
    ),
)

MODELS = Row(
    "Models",
    (
        Panel(
            "Models that are not called",
            "A model that fails, or that wants no more calls, is not called but to find out "
            "whether it is back. Questions wait, and no attempt is spent.",
            "short",
            (
                Query(
                    'max by (model) (penstock_model_shut{@, cause="failing"}) '
                    '+ 2 * max by (model) (penstock_model_shut{@, cause="rate_limited"})',
                    "{{model}}",
                ),
            ),
            "state-timeline",
            words=(
                (0, "called", "green"),
                (1, "fails", "red"),
                (2, "refuses (429)", "orange"),
                (3, "fails here, refuses there", "red"),
            ),
            alert="PenstockModelShut",
        ),
        Panel(
            "Calls at once",
            "That a model serves without a queue, as far as is known; of all members. "
            "`LIMITER__MODE=enforce` keeps to it.",
            "short",
            (
                Query("sum by (model) (penstock_model_limit{@})", "{{model}}"),
                Query("sum(penstock_in_flight{@})", "running"),
            ),
        ),
        Panel(
            "Attempts, all and failed",
            "Begun in a second, and those that failed and are followed by another. Many for each "
            "question that ends: the model is paid for failures.",
            "reqps",
            (
                Query(f"sum(rate(penstock_attempts_total{{@}}{_R}))", "begun"),
                Query(f"sum(rate(penstock_attempts_failed_total{{@}}{_R}))", "failed"),
            ),
        ),
        Panel(
            "Failed attempts, by kind and code",
            "UPSTREAM is the provider's, ANSWER the program's: an answer that cannot be parsed, an "
            "exception.",
            "reqps",
            (
                Query(
                    f"sum by (kind, code) (rate(penstock_attempts_failed_total{{@}}{_R})) > 0",
                    "{{kind}} {{code}}",
                ),
            ),
            stacked=True,
            alert="PenstockModelShut",
            width=24,
        ),
    ),
)

TOKENS = Row(
    "Tokens",
    (
        Panel(
            "Pieces of text",
            "Streamed in a second, as they come from the models.",
            "cps",
            (
                Query(
                    f"sum by (program) (rate(penstock_tokens_total{{{PROGRAMS}}}{_R}))",
                    "{{program}}",
                ),
            ),
            width=6,
            stacked=True,
        ),
        Panel(
            "Pieces of text, merged",
            "The part of them that went to Kafka together with others. It grows when Kafka, or "
            "this process, is slower than the models: the stream adapts.",
            "percentunit",
            (
                Query(
                    f"sum by (program) (rate(penstock_tokens_merged_total{{{PROGRAMS}}}{_R})) / "
                    f"(sum by (program) (rate(penstock_tokens_total{{{PROGRAMS}}}{_R})) > 0)",
                    "{{program}}",
                ),
            ),
            width=6,
            most=1,
        ),
        Panel(
            "Waiting for Kafka",
            "How many programs could not go on at a moment because Kafka did not take what they "
            "said. Near the number that runs: the brokers are the bottleneck.",
            "short",
            (
                Query(
                    f"sum by (program) (rate(penstock_sink_wait_seconds_total{{{PROGRAMS}}}{_R}))",
                    "{{program}}",
                ),
            ),
            width=6,
        ),
        Panel(
            "Billed tokens",
            "In a second, as the provider counts them: what is paid for. Failed attempts count, "
            "too.",
            "cps",
            (
                Query(
                    f"sum by (type) (rate(penstock_model_tokens_total{{{PROGRAMS}}}{_R}))",
                    "{{type}}",
                ),
            ),
            width=6,
            stacked=True,
        ),
    ),
)

DEAD_LETTERS = Row(
    "Dead letters",
    (
        Panel(
            "Dead letters, by kind",
            "Who has to act. RECORD: whoever asks; ANSWER: whoever wrote the program; UPSTREAM: "
            "the provider; DEADLINE: nobody had the time.",
            "reqps",
            (Query(f"sum by (kind) (rate(penstock_dead_letters_total{{@}}{_R}))", "{{kind}}"),),
            width=12,
            stacked=True,
            alert="PenstockDeadLetters",
        ),
        Panel(
            "Dead letters in an hour, by code",
            "Why. `penstock dlq ls --where code=...` shows them, `penstock dlq redrive` asks them "
            "again.",
            "short",
            (
                Query(
                    "sum by (kind, code) (increase(penstock_dead_letters_total{@}[1h])) > 0",
                    "{{kind}} {{code}}",
                ),
            ),
            width=12,
            alert="PenstockDeadLetters",
        ),
    ),
)

PROCESS = Row(
    "Process",
    (
        Panel(
            "CPU",
            "Cores that each member uses. It is one event loop: at one core more members help.",
            "short",
            (Query(f"rate(process_cpu_seconds_total{{@}}{_R}) {_MEMBERS}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Memory",
            "Resident.",
            "bytes",
            (Query(f"process_resident_memory_bytes{{@}} {_MEMBERS}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            "Event loop, late",
            "How late the loop was, looked at every second. Something computes or blocks in it: a "
            "program that does not await, or too many questions at once.",
            "s",
            (*quantiles("penstock_event_loop_lag_seconds", "@"),),
            width=6,
            steps=((0.25, "red"),),
            alert="PenstockEventLoopLate",
        ),
        Panel(
            "Programs in threads",
            "How many threads programs and tools keep busy, beside the event loop.",
            "short",
            (
                Query(
                    "sum by (program) "
                    f"(rate(penstock_program_thread_seconds_total{{{PROGRAMS}}}{_R}))",
                    "{{program}}",
                ),
            ),
            width=6,
        ),
        Panel(
            "Releases",
            "Members by their release. Two of them for long: a roll-out is stuck.",
            "short",
            (
                Query(
                    f"count by (version) (penstock_build_info{{@}} {_MEMBERS})",
                    "{{version}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Open files",
            "Connections to Kafka, models and clients among them, against what the process may "
            "have.",
            "percentunit",
            (Query(f"process_open_fds{{@}} / process_max_fds{{@}} {_MEMBERS}", "{{instance}}"),),
            width=12,
            steps=((0.8, "red"),),
            most=1,
        ),
    ),
)

SERVICE = Dashboard(
    "penstock",
    "Penstock",
    "Questions from Kafka, answered by DSPy programs: is it fine, and if not, where?",
    "penstock_slots",
    (
        FINE,
        QUESTIONS,
        LATENCY,
        POOL,
        PARTITIONS,
        DELIVERY,
        MODELS,
        TOKENS,
        DEAD_LETTERS,
        PROCESS,
    ),
    by_program=True,
)
