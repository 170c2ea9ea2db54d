"""The phrases of the reports: how radiologists state findings and their absence.

``{side}`` is right or left, ``{loc}`` a place with its side, ``{deg}`` the degree in the words
of the label, ``{size}`` a length or ratio, ``{extra}`` a detail of this finding only.
"""

# ruff: noqa: E501 -- tables of phrases read best with a label on each line

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BOTH", "CHANGE", "DEGREES", "NOUNS", "ONE", "RESOLVED", "UNCERTAIN"]

DEGREES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "effusion": (("small", "trace", "tiny"), ("moderate", "moderate-sized"), ("large",)),
        "consolidation": (("patchy", "subtle", "mild"), ("moderate", "confluent"), ("dense", "extensive")),
        "pneumothorax": (("small", "tiny"), ("moderate", "moderate-sized"), ("large",)),
        "nodule": (("small", "subtle"), ("well-defined", "rounded"), ("large", "prominent")),
        "mass": (("moderate-sized", "lobulated"), ("lobulated", "sizeable"), ("large", "bulky")),
        "atelectasis": (("linear", "plate-like", "subsegmental"), ("partial", "segmental"), ("complete", "lobar")),
        "fracture": (("minimally displaced", "mildly displaced"), ("displaced",), ("markedly displaced", "severely displaced")),
        "cardiomegaly": (("mild", "mildly"), ("moderate", "moderately"), ("marked", "severely")),
        "edema": (("mild",), ("moderate",), ("severe", "marked")),
        "emphysema": (("mild",), ("moderate",), ("severe", "advanced")),
        "fibrosis": (("mild", "early"), ("moderate",), ("severe", "advanced")),
        "support device": (("",), ("",), ("",)),
    }
)  # fmt: skip
"""Adjectives of each label for mild, moderate and severe."""

ONE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "effusion": (
            "There is a {deg} {side} pleural effusion.",
            "{deg} {side} pleural effusion is present.",
            "{deg} {side}-sided pleural effusion, {extra}.",
            "Blunting of the {side} costophrenic angle in keeping with a {deg} effusion.",
            "A {deg} effusion layers at the {side} base.",
            "{deg} volume of pleural fluid on the {side}.",
            "Meniscus at the {side} base, consistent with a {deg} pleural effusion.",
            "{side} hemithorax: {deg} pleural effusion.",
        ),
        "consolidation": (
            "There is {deg} consolidation in the {loc}.",
            "{deg} airspace opacity in the {loc} consistent with consolidation.",
            "{loc} consolidation, {deg}.",
            "{deg} consolidation is seen within the {loc}.",
            "Focal airspace consolidation involving the {loc}.",
            "An area of {deg} consolidation of about {size} cm occupies the {loc}.",
            "{loc} shows {deg} consolidative opacity.",
            "{deg} {side} consolidation, in the {place}, may represent pneumonia.",
        ),
        "pneumothorax": (
            "There is a {deg} {side} pneumothorax.",
            "{deg} {side} pneumothorax with a rim of {size} mm.",
            "{deg} {side}-sided pneumothorax, pleural line visible.",
            "A {deg} pneumothorax is present on the {side}.",
            "Visceral pleural line on the {side}, in keeping with a {deg} pneumothorax.",
            "{side} pneumothorax, {deg}, measuring {size} mm from the chest wall.",
            "{side} hemithorax: {deg} pneumothorax{extra}.",
        ),
        "nodule": (
            "There is a {size} mm nodule in the {loc}.",
            "{deg} nodule in the {loc}, measuring {size} mm.",
            "A {deg} {size} mm pulmonary nodule projects over the {loc}.",
            "{loc} nodule of {size} mm.",
            "{size} mm nodular opacity in the {loc}.",
            "Solitary {side} lung nodule, {size} mm, {place}.",
            "A {deg} nodule is noted in the {loc}.",
        ),
        "mass": (
            "There is a {size} cm mass in the {loc}.",
            "{deg} mass in the {loc}, measuring {size} cm.",
            "{loc} mass of {size} cm, suspicious for malignancy.",
            "A {deg} {size} cm mass occupies the {loc}.",
            "{size} cm mass with spiculated margins in the {loc}.",
            "{side} lung mass in the {place}, {size} cm in diameter.",
            "A {deg} mass is seen in the {loc}.",
        ),
        "atelectasis": (
            "There is {deg} atelectasis in the {loc}.",
            "{deg} atelectasis of the {loc}{extra}.",
            "{deg} {side} atelectasis, {place}.",
            "Volume loss in the {loc}, consistent with {deg} atelectasis.",
            "{loc} atelectasis{extra}.",
            "{deg} atelectatic change in the {loc}.",
            "Opacity in the {loc} with volume loss, representing {deg} atelectasis.",
        ),
        "fracture": (
            "There is a {deg} fracture of the {loc}.",
            "{deg} fracture of the {loc}.",
            "{deg} fracture involving the {loc}, step of {size} mm.",
            "Fracture of the {loc}, {deg}.",
            "{loc}: {deg} fracture.",
            "A {deg} fracture is seen in the {loc}.",
            "Cortical step of the {loc}, consistent with a {deg} fracture.",
        ),
        "cardiomegaly": (
            "There is {deg} cardiomegaly.",
            "{deg} cardiomegaly, cardiothoracic ratio {size}.",
            "The heart is enlarged: {deg} cardiomegaly.",
            "{deg} enlargement of the cardiac silhouette.",
            "Cardiomegaly, {deg}.",
            "Enlarged heart with a cardiothoracic ratio of {size}.",
            "Cardiac silhouette is enlarged ({deg} cardiomegaly).",
        ),
        "edema": (
            "There is {deg} pulmonary edema.",
            "{deg} interstitial and alveolar edema.",
            "Perihilar haze and septal lines, consistent with {deg} pulmonary edema.",
            "{deg} pulmonary edema with upper lobe vascular redistribution.",
            "Vascular congestion with {deg} edema.",
            "Bilateral perihilar opacities in keeping with {deg} pulmonary edema.",
            "Kerley B lines at the bases; {deg} pulmonary edema.",
        ),
        "emphysema": (
            "There is {deg} emphysema.",
            "Hyperinflated lungs with flattened diaphragms, consistent with {deg} emphysema.",
            "{deg} emphysema with bullae in the upper zones.",
            "{deg} emphysematous change with hyperinflation.",
            "Lungs are hyperlucent in keeping with {deg} emphysema.",
            "Hyperexpansion and {deg} emphysema.",
            "Changes of {deg} emphysema are present.",
        ),
        "fibrosis": (
            "There is {deg} pulmonary fibrosis.",
            "Reticular opacities at both bases, consistent with {deg} fibrosis.",
            "{deg} basal predominant fibrosis.",
            "{deg} interstitial fibrosis with reduced lung volumes.",
            "Peripheral reticulation and honeycombing in keeping with {deg} fibrosis.",
            "Coarse reticular pattern of {deg} pulmonary fibrosis.",
            "{deg} fibrotic change in the lower zones.",
        ),
        "pacemaker": (
            "{side} pectoral {extra} pacemaker in place.",
            "A {side}-sided {extra} pacemaker is seen.",
            "{extra} pacemaker with generator over the {side} chest.",
            "There is a {side} chest wall pacemaker ({extra}).",
            "Cardiac pacemaker, {extra}, {side} generator.",
            "{side} {extra} pacemaker with intact leads.",
        ),
        "central line": (
            "{side} internal jugular central line with tip in the {place}.",
            "{side} central venous catheter, tip in the {place}.",
            "A {side} jugular central line terminates in the {place}.",
            "{side}-sided central venous line with its tip projecting over the {place}.",
            "Central line from the {side}, tip at the {place}.",
            "There is a {side} central line ending in the {place}.",
        ),
        "port": (
            "{side} chest port with catheter tip in the {place}.",
            "{side} port-a-cath, tip in the {place}.",
            "A {side}-sided implanted port, catheter tip at the {place}.",
            "Implanted port over the {side} chest, tip in the {place}.",
            "There is a {side} chest wall port with tip in the {place}.",
            "{side} infusion port ends in the {place}.",
        ),
        "endotracheal tube": (
            "Endotracheal tube with tip {place}.",
            "The endotracheal tube tip lies {place}.",
            "Endotracheal tube in place, tip {place}.",
            "ET tube tip {place}.",
            "Patient is intubated, endotracheal tube tip {place}.",
            "There is an endotracheal tube with its tip {place}.",
        ),
        "chest tube": (
            "{side} chest tube with tip at the {place}.",
            "A {side}-sided chest tube is directed to the {place}.",
            "{side} intercostal chest tube, tip at the {place}.",
            "Chest tube on the {side} ending at the {place}.",
            "There is a {side} chest tube towards the {place}.",
            "{side} pleural drain (chest tube) with tip at the {place}.",
        ),
        "nasogastric tube": (
            "Nasogastric tube with tip in the stomach.",
            "A nasogastric tube passes below the diaphragm.",
            "NG tube in the stomach.",
            "Nasogastric tube tip projects over the stomach.",
            "Enteric tube courses below the diaphragm into the stomach.",
            "There is a nasogastric tube ending in the stomach.",
        ),
        "sternotomy": (
            "Median sternotomy wires.",
            "Status post sternotomy.",
            "Sternal wires are intact.",
            "Postoperative sternum with wire cerclages.",
        ),
        "granuloma": (
            "Calcified granuloma in the {loc}.",
            "Small calcified granuloma, {loc}.",
            "Tiny calcified density in the {loc}, an old granuloma.",
            "Incidental calcified granuloma of the {loc}.",
        ),
        "calcified aorta": (
            "Calcified aortic knob.",
            "Atherosclerotic calcification of the aortic arch.",
            "Aortic arch calcification.",
            "Calcification of the thoracic aorta.",
        ),
    }
)
"""Sentences for a finding on one side or without a side."""

BOTH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "effusion": (
            "There are {deg} bilateral pleural effusions, larger on the right.",
            "{deg} bilateral pleural effusions.",
            "Bilateral {deg} effusions, right greater than left.",
            "Blunting of both costophrenic angles by {deg} bilateral effusions.",
            "{deg} pleural effusions on both sides.",
            "{deg} bilateral pleural fluid, slightly more on the right.",
        ),
        "consolidation": (
            "{deg} bilateral consolidation in the {loc}.",
            "There is {deg} bilateral airspace consolidation, {place}.",
            "Consolidation in both lungs, {deg}, {loc}.",
            "Bilateral consolidative opacities in the {loc}.",
            "{deg} consolidation bilaterally in the {loc}.",
            "{loc} show {deg} bilateral consolidation.",
        ),
        "atelectasis": (
            "{deg} bilateral basal atelectasis.",
            "Bilateral {deg} atelectasis in the {loc}.",
            "There is {deg} atelectasis at both bases.",
            "{deg} atelectatic change bilaterally in the {loc}.",
            "Bibasilar {deg} atelectasis.",
            "{deg} atelectasis in both lower lobes.",
        ),
        "fracture": (
            "{deg} bilateral rib fractures, {place}.",
            "There are {deg} fractures of the {loc}.",
            "Bilateral rib fractures: {place}, {deg}.",
            "Fractures of the {loc}, {deg}.",
            "{deg} fractures on both sides, {place}.",
            "Bilateral fractures of the {place}, {deg}.",
        ),
    }
)
"""Sentences for a finding on both sides."""

NOUNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "effusion": ("{deg} {side} pleural effusion", "{side} pleural effusion, {deg}", "{deg} {side} effusion"),
        "consolidation": ("{loc} consolidation", "{deg} {loc} consolidation", "consolidation in the {loc}"),
        "pneumothorax": ("{deg} {side} pneumothorax", "{side} pneumothorax, {deg}", "{side} pneumothorax"),
        "nodule": ("{size} mm {loc} nodule", "{loc} nodule", "{side} lung nodule, {size} mm"),
        "mass": ("{size} cm {loc} mass", "{loc} mass", "{side} lung mass, {size} cm"),
        "atelectasis": ("{deg} {loc} atelectasis", "{loc} atelectasis", "{side} atelectasis, {deg}"),
        "fracture": ("{deg} fracture of the {loc}", "{loc} fracture", "fracture of the {loc}"),
        "cardiomegaly": ("{deg} cardiomegaly", "enlarged heart", "cardiomegaly"),
        "edema": ("{deg} pulmonary edema", "pulmonary edema, {deg}", "pulmonary edema"),
        "emphysema": ("{deg} emphysema", "emphysema, {deg}", "emphysema"),
        "fibrosis": ("{deg} pulmonary fibrosis", "pulmonary fibrosis, {deg}", "interstitial fibrosis"),
        "pacemaker": ("{side} pacemaker", "{side} {extra} pacemaker"),
        "central line": ("{side} central line in the {place}", "{side} central line"),
        "port": ("{side} chest port", "{side} port"),
        "endotracheal tube": ("endotracheal tube", "endotracheal tube {place}"),
        "chest tube": ("{side} chest tube", "{side} chest tube at the {place}"),
        "nasogastric tube": ("nasogastric tube", "nasogastric tube in the stomach"),
    }
)  # fmt: skip
"""Noun phrases, for impressions, uncertain findings and comparisons."""

UNCERTAIN = (
    "Possible {noun}.",
    "Questionable {noun}.",
    "Probable {noun}, attention on follow-up.",
    "Findings may represent {noun}.",
    "Suspected {noun}.",
    "{noun} cannot be excluded.",
)
"""Sentences for an uncertain finding."""

CHANGE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "new": (
            "The {short} is new since the prior study.",
            "New {short} compared with the prior examination.",
            "{short}: new in the interval.",
        ),
        "increased": (
            "The {short} has increased since the prior study.",
            "Interval increase of the {short}.",
            "The {short} is larger than on the prior examination.",
            "Worsening {short} compared with the prior.",
        ),
        "decreased": (
            "The {short} has decreased since the prior study.",
            "Interval improvement of the {short}.",
            "The {short} is smaller than on the prior examination.",
            "Improving {short} compared with the prior.",
        ),
        "unchanged": (
            "The {short} is unchanged since the prior study.",
            "Stable {short}.",
            "No significant change of the {short} from the prior examination.",
            "The {short} is similar to prior.",
        ),
    }
)
"""Sentences that compare a finding with the previous study."""

RESOLVED = (
    "The previously seen {short} has resolved.",
    "Interval resolution of the {short}.",
    "Previously noted {short} is no longer seen.",
    "Resolved {short} since the prior study.",
)
"""Sentences for a resolved finding."""
