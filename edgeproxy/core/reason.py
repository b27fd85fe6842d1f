"""One word for every "no". The word reaches the log line, `Cache-Status`, the counters and `explain`."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was not done. A value is one token (RFC 9110 §5.6.2), so it fits any header."""

    # The viewer's request is refused.
    BAD_REQUEST = "bad-request"
    BAD_HOST = "bad-host"
    BAD_PATH = "bad-path"
    BAD_CALLER = "bad-caller"
    NO_POOL = "no-pool"
    URI_TOO_LONG = "uri-too-long"
    HEAD_TOO_LARGE = "head-too-large"
    METHOD_UNKNOWN = "method-unknown"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    BODY_NOT_ALLOWED = "body-not-allowed"
    BODY_TOO_LARGE = "body-too-large"
    BODY_TIMEOUT = "body-timeout"
    LOOP = "loop"
    BAD_HANDSHAKE = "bad-handshake"

    # An origin failed.
    ORIGIN_UNREACHABLE = "origin-unreachable"
    ORIGIN_UNRESOLVED = "origin-unresolved"
    ORIGIN_TLS = "origin-tls"
    ORIGIN_TIMEOUT = "origin-timeout"
    ORIGIN_BAD_REPLY = "origin-bad-reply"
    ORIGIN_CUT = "origin-cut"
    S3_CREDENTIALS = "s3-credentials"
    S3_NO_CREDENTIALS = "s3-no-credentials"
    S3_NO_BUCKET = "s3-no-bucket"
    S3_REGION = "s3-region"

    # A node of a pool is not asked, or none is.
    NODE_CORDONED = "node-cordoned"
    NODE_DRAINED = "node-drained"
    NODE_DOWN = "node-down"
    NODE_LAGGING = "node-lagging"
    NODE_EJECTED = "node-ejected"
    NODE_PROBED = "node-probed"
    NODE_TRIED = "node-tried"
    NO_NODE = "no-node"

    # A request is not sent to another node.
    ATTEMPTS_SPENT = "attempts-spent"
    NOT_IDEMPOTENT = "not-idempotent"
    BODY_SPENT = "body-spent"
    RETRY_BUDGET = "retry-budget"

    # The answer of a node is not waited for.
    NODE_OUTRUN = "node-outrun"

    # The answer is not what the origin said.
    ERROR_PAGE = "error-page"

    # The answer is not compressed here.
    COMPRESSION_OFF = "compression-off"
    CODING_NOT_ACCEPTED = "coding-not-accepted"
    STATUS_NOT_COMPRESSED = "status-not-compressed"
    TYPE_NOT_COMPRESSED = "type-not-compressed"
    SIZE_NOT_COMPRESSED = "size-not-compressed"
    CODED_BY_ORIGIN = "coded-by-origin"
    NO_TRANSFORM = "no-transform"

    # The request does not become a WebSocket, or that ended before its time.
    WEBSOCKET_OFF = "websocket-off"
    TUNNEL_IDLE = "tunnel-idle"

    # The answer is not stored in the cache.
    WEBSOCKET = "websocket"
    CALL_NOT_LISTED = "call-not-listed"
    CALL_BATCH = "call-batch"
    CALL_TOO_LARGE = "call-too-large"
    CALL_UNCLEAR = "call-unclear"
    NOT_A_QUERY = "not-a-query"
    ANSWER_ERROR = "answer-error"
    ANSWER_UNCLEAR = "answer-unclear"
    CACHING_DISABLED = "caching-disabled"
    METHOD_NOT_CACHED = "method-not-cached"
    STATUS_NOT_CACHED = "status-not-cached"
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    SET_COOKIE = "set-cookie"
    VARY_STAR = "vary-star"
    PARTIAL = "partial"
    NO_LIFETIME = "no-lifetime"
    TOO_LARGE = "too-large"
    NO_ROOM = "no-room"
    LENGTH_UNKNOWN = "length-unknown"
    DISK_FAILED = "disk-failed"

    # A stored response cannot be used as it is.
    STALE = "stale"
    NO_CACHE = "no-cache"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    STALE_ON_ERROR = "stale-on-error"
    MAX_STALE = "max-stale"
    REQUEST_DIRECTIVE = "request-directive"
    ONLY_IF_CACHED = "only-if-cached"

    # The bucket is not filled.
    NO_BACKFILL = "no-backfill"
    NO_RULE = "no-rule"
    NOT_FAILED_OVER = "not-failed-over"
    PRIMARY_NOT_S3 = "primary-not-s3"
    PRIMARY_STATUS = "primary-status"
    SOURCE_STATUS = "source-status"
    SOURCE_DOWN = "source-down"
    SOURCE_BUSY = "source-busy"
    NO_SOURCE = "no-source"
    REDIRECT_REFUSED = "redirect-refused"
    TYPE_NOT_COPIED = "type-not-copied"
    TOO_SMALL = "too-small"
    QUERY_IN_KEY = "query-in-key"
    VARIES = "varies"
    BAD_KEY = "bad-key"
    QUEUE_FULL = "queue-full"
    QUEUE_FAILED = "queue-failed"
    QUEUED_ALREADY = "queued-already"
    QUEUE_REFUSED = "queue-refused"
    DRAINING = "draining"
    PAUSED = "paused"
    MAKE_TIMEOUT = "make-timeout"
    RETRY_LATER = "retry-later"
    CANCELLED = "cancelled"
    EXISTS = "exists"
    TOMBSTONE = "tombstone"
    NOT_OURS = "not-ours"
    NOT_THERE = "not-there"
    UNCHANGED = "unchanged"
    CHECKED = "checked"
    CHANGED = "changed"
    LENGTH_MISMATCH = "length-mismatch"
    DIGEST_MISMATCH = "digest-mismatch"
    WRITE_FAILED = "write-failed"
    WORKER_LOST = "worker-lost"

    # A change in a bucket purges nothing.
    OTHER_BUCKET = "other-bucket"
    OUTSIDE_ORIGIN_PATH = "outside-origin-path"
    IGNORED_PRINCIPAL = "ignored-principal"

    # Something of ours broke.
    INTERNAL = "internal"
    DISK_DAMAGED = "disk-damaged"
    VIEWER_LEFT = "viewer-left"
