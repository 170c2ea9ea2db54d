"""Examples of requests and answers for the OpenAPI description; a test holds them to the models."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AUDIT",
    "BATCH",
    "BATCH_ANSWER",
    "CASE",
    "HEALTH",
    "METADATA",
    "METRICS",
    "PARAMETERS",
    "PROBLEM_LINES",
    "QUERIES",
    "READY",
    "REVIEW",
    "REVIEWS",
    "SEARCH",
]

PARAMETERS: dict[str, Any] = {
    "case_id": "S-000017",
    "scan": 1,
    "frame": 1,
    "window": "40,400",
    "size": 1024,
    "invert": False,
    "quality": 90,
    "link": "q3v0mGZl0Zr8cF3kq0aB7w",
}

QUERIES: dict[str, Any] = {
    "words": {
        "summary": "Words, with conditions",
        "value": {"text": "right pleural effusion, no pneumothorax", "where": ["age>=60"], "k": 5},
    },
    "case": {
        "summary": "Like a case of the library, one hit a patient",
        "value": {"case": "S-000017", "per_patient": True, "unlike": ["S-000040"]},
    },
    "mixed": {
        "summary": "A case and words, the words counting more",
        "value": {
            "case": "S-000017",
            "text": "cardiomegaly",
            "weights": {"case": 0.4, "text": 0.6},
            "against": "both",
        },
    },
}

BATCH = '{"text": "pneumothorax", "k": 3}\n{"case": "S-000017"}\n'

_HIT: dict[str, Any] = {
    "rank": 1,
    "case_id": "S-000023",
    "patient_id": "P-4f0c9a",
    "study_date": "2019-03-04",
    "score": 0.812345,
    "percentile": 99.2,
    "worth": {"share": 0.74, "low": 0.66, "high": 0.81, "reason": ""},
    "modality": "DX",
    "sex": "F",
    "age": 71.0,
    "findings": ["effusion:right"],
    "note": "FINDINGS: Right pleural effusion. No pneumothorax.",
    "why": {
        "shared_findings": ["effusion:right"],
        "differing_findings": [],
        "words": ["pleural"],
        "parts": {"text": 0.701234},
        "line": "same findings: right effusion",
    },
    "same_image": [],
}

SEARCH: dict[str, Any] = {
    "query": {
        "text": "right pleural effusion, no pneumothorax",
        "image": None,
        "case": None,
        "vector": None,
        "weights": {"text": 1.0},
        "where": ["age>=60"],
        "k": 5,
        "against": "scans",
        "like": [],
        "unlike": [],
    },
    "model": "9b1c0e6d5a",
    "plan": {
        "method": "exact",
        "compared": 96,
        "matching": 38,
        "recall": None,
        "notes": ["read as: effusion right, no pneumothorax"],
        "read_as": {"terms": [], "ignored": [], "affirmed": "right pleural effusion", "denied": ""},
        "agreement_weight": 0.3,
        "bm25_weight": 0.2,
        "bm25_words": ["pleural", "effusion"],
        "out_of_depth": False,
        "reranked": 0,
    },
    "novel": False,
    "novelty": {
        "state": "like",
        "reason": "",
        "p_value": 0.41,
        "alpha": 0.05,
        "parts": {"text": 0.41},
        "stale": False,
        "instead": [],
    },
    "scores": {
        "kind": "text",
        "any_case": 0.22,
        "n_queries": 30,
        "n_with_finding": 21,
        "day": "2026-11-20",
        "stale": False,
        "reason": "",
    },
    "own_cases": [],
    "own_patient_cases": 0,
    "hits": [_HIT],
    "patients": [
        {
            "patient_id": "P-4f0c9a",
            "hits": ["S-000023"],
            "others": [],
            "priors": [{"case_id": "S-000009", "days_before": 210}],
        }
    ],
}

BATCH_ANSWER = (
    '{"line": 1, "result": {"query": …, "hits": […]}}\n{"line": 2, "error": {"status": 404, …}}\n'
)

CASE: dict[str, Any] = {
    "case_id": "S-000017",
    "patient_id": "P-83aa10",
    "study_date": "2019-05-02",
    "modality": "DX",
    "view": "PA",
    "kind": "image",
    "sex": "M",
    "age": 64.0,
    "race": "unknown",
    "site": "north",
    "scanner": "unknown",
    "findings": ["cardiomegaly"],
    "attributes": {},
    "note": {
        "text": "FINDINGS: Cardiomegaly.",
        "sections": [{"name": "findings", "start": 9, "end": 23}],
        "assertions": [
            {
                "label": "cardiomegaly",
                "status": "present",
                "side": "",
                "start": 10,
                "end": 22,
                "historical": False,
            }
        ],
    },
    "scans": [{"scan": 1, "modality": "DX", "view": "PA", "kind": "image", "files": 1}],
}

METADATA: list[dict[str, Any]] = [
    {
        "00100020": {"vr": "LO", "Value": ["P-83aa10"]},
        "00080060": {"vr": "CS", "Value": ["DX"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00280011": {"vr": "US", "Value": [512]},
        "00280008": {"vr": "IS", "Value": [1]},
        "00280030": {"vr": "DS", "Value": [0.5, 0.5]},
    }
]

_REVIEW_HEAD: dict[str, Any] = {
    "link": "q3v0mGZl0Zr8cF3kq0aB7w",
    "name": "Effusions, November",
    "creator": "anna",
    "created": "2026-11-20T09:00:00+00:00",
    "state": "open",
}

REVIEWS: dict[str, Any] = {"reviews": [{**_REVIEW_HEAD, "cases": 12, "readers": ["anna", "ben"]}]}

REVIEW: dict[str, Any] = {
    "review": {
        **_REVIEW_HEAD,
        "readers": ["anna", "ben"],
        "cases": [{"position": 1, "case_id": "S-000023", "query": None}],
    },
    "readings": [{"case_id": "S-000023", "reader": "anna", "state": "finished"}],
    "measures": None,
}

AUDIT: dict[str, Any] = {
    "stamp": {"day": "2026-11-20", "protocol_name": "audit", "n_patients": 80},
    "gate": {"passed": False, "answer": "not shown", "reasons": ["too few patients"]},
    "outcomes": [{"attribute": "sex", "group": "F", "outcome": "P@5", "verdict": "inconclusive"}],
}

HEALTH = {"status": "ok"}
READY = {"status": "ready"}
METRICS = 'medembed_requests_total{method="POST",route="/v1/search",status="200"} 12.0\n'

PROBLEM_LINES = {
    400: "Invalid JSON: EOF while parsing an object at line 1 column 9",
    401: "log in, or send a token",
    403: "your account lacks the permission 'search'",
    404: "no case has this id in this library",
    406: "choose one of image/png, image/jpeg, application/octet-stream",
    408: "send the body without long pauses",
    413: "the limit is 1 MiB",
    415: "send application/json, or multipart/form-data with an image",
    422: "age: age must be a number of years; age>=60",
    429: "slow down",
    500: "an internal error; the log names its place by the id below",
    503: "too many searches wait already",
}
