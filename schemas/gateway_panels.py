"""What is seen of the door for HTTP? The dashboard of the gateway."""

from schemas.dashboards import Dashboard, Panel, Query, Row, quantiles

_R = "[$__rate_interval]"
_GATEWAYS = "and on (namespace, job, instance) penstock_gateway_streams"
"""A PodMonitor gives the service's processes the same job."""
_REQUESTS = "penstock_gateway_requests_total{@}"
_OURS = 'penstock_gateway_requests_total{@, status=~"500|503"}'

FINE = Row(
    "Is it fine?",
    (
        Panel(
            "Gateways",
            "Processes that are scraped.",
            "short",
            (Query("count(penstock_gateway_streams{@})", "gateways"),),
            "stat",
            4,
            4,
            alert="PenstockAbsent",
        ),
        Panel(
            "Requests",
            "Answered in a second.",
            "reqps",
            (Query(f"sum(rate({_REQUESTS}{_R}))", "requests"),),
            "stat",
            4,
            4,
        ),
        Panel(
            "Refused by us",
            "The part answered with 500 or 503: Kafka does not answer, or we are at fault. 429 is "
            "the client's rate or a full service, 502 and 504 are questions that failed.",
            "percentunit",
            (
                Query(
                    f"(sum(rate({_OURS}{_R})) or vector(0)) / (sum(rate({_REQUESTS}{_R})) > 0)",
                    "500 or 503",
                ),
            ),
            "stat",
            4,
            4,
            steps=((0.01, "orange"), (0.05, "red")),
            alert="PenstockGatewayErrors",
            most=1,
        ),
        Panel(
            "Streams",
            "That clients read now.",
            "short",
            (Query("sum(penstock_gateway_streams{@})", "streams"),),
            "stat",
            4,
            4,
        ),
        Panel(
            "Open questions",
            "Asked and not ended, as the gateway that knows most of them sees it.",
            "short",
            (Query('max(penstock_gateway_questions{@, state="open"})', "open"),),
            "stat",
            4,
            4,
            alert="PenstockAbsent",
        ),
        Panel(
            "Token delay, p95",
            "From the append of a token record to when its streams have it.",
            "s",
            (quantiles("penstock_gateway_event_delay_seconds", "@")[1],),
            "stat",
            4,
            4,
            steps=((0.25, "orange"), (1, "red")),
        ),
    ),
)

REQUESTS = Row(
    "Requests",
    (
        Panel(
            "Requests, by route",
            "A stream counts when it ends.",
            "reqps",
            (Query(f"sum by (route) (rate({_REQUESTS}{_R}))", "{{route}}"),),
            stacked=True,
        ),
        Panel(
            "Requests, by status",
            "4xx: what clients ask for wrongly, or too often. 500 and 503 are ours, 502 and 504 "
            "the questions'.",
            "reqps",
            (Query(f"sum by (status) (rate({_REQUESTS}{_R}))", "{{status}}"),),
            stacked=True,
            alert="PenstockGatewayErrors",
        ),
        Panel(
            "Head of the answer",
            "From a request to the status of its answer; where one waits for a completion, that is "
            "part of it.",
            "s",
            quantiles("penstock_gateway_request_seconds", "@"),
            exemplars=True,
        ),
        Panel(
            "Head of the answer, p95 by route",
            "Those that wait for an answer are slow, the others are not.",
            "s",
            (
                Query(
                    "histogram_quantile(0.95, sum by (le, route) "
                    f"(rate(penstock_gateway_request_seconds_bucket{{@}}{_R}))) >= 0",
                    "{{route}}",
                ),
            ),
            width=24,
            exemplars=True,
        ),
    ),
)

STREAMS = Row(
    "Streams and questions",
    (
        Panel(
            "Streams",
            "Behind are those that read older records from Kafka: late, slow or resumed. Many of "
            "them: clients read too slowly, or came back all at once.",
            "short",
            (
                Query("sum(penstock_gateway_streams{@})", "read now"),
                Query("sum(penstock_gateway_streams_behind{@})", "behind"),
            ),
        ),
        Panel(
            "Delay of token records",
            "From their append to when they are handed to their streams: what the gateway adds.",
            "s",
            quantiles("penstock_gateway_event_delay_seconds", "@"),
            exemplars=True,
        ),
        Panel(
            "Questions found by their ids",
            "Of the last hour (`GATEWAY__WINDOW_MS`), in the gateway that knows most of them.",
            "short",
            (Query("max by (state) (penstock_gateway_questions{@})", "{{state}}"),),
            stacked=True,
        ),
    ),
)

PROCESS = Row(
    "Process",
    (
        Panel(
            "CPU",
            "Cores that each gateway uses. It is one event loop: at one core more of them help.",
            "short",
            (Query(f"rate(process_cpu_seconds_total{{@}}{_R}) {_GATEWAYS}", "{{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident. Questions that are found by their ids take a kilobyte each.",
            "bytes",
            (Query(f"process_resident_memory_bytes{{@}} {_GATEWAYS}", "{{instance}}"),),
        ),
        Panel(
            "Releases",
            "Gateways by their release.",
            "short",
            (
                Query(
                    f"count by (version) (penstock_build_info{{@}} {_GATEWAYS})",
                    "{{version}}",
                ),
            ),
        ),
    ),
)

GATEWAY = Dashboard(
    "penstock-gateway",
    "Penstock gateway",
    "HTTP in front of the topics: who asks, how long they wait, and what they are told.",
    "penstock_gateway_streams",
    (FINE, REQUESTS, STREAMS, PROCESS),
)
