"""What differs between two plans and can change answers, in a plan's own words."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from sepm_eval.runs.plan import ModelPlan, Plan


def differing(former: Plan, now: Plan) -> list[str]:
    """What decides answers and is not the same in two plans, such as "limit: 9, now none"; batch sizes are left out."""
    before, after = ({one.key: one for one in plan.models} for plan in (former, now))
    pairs = [
        ("tasks", _listed(former.tasks), _listed(now.tasks)),
        ("limit", str(former.limit or "none"), str(now.limit or "none")),
        *(
            (f"methods of {_named(one)}", _listed(former.methods_of(before[key])), _listed(now.methods_of(one)))
            for key, one in after.items()
            if key in before
        ),
    ]
    odd = [f"{what}: {one}, now {other}" for what, one, other in pairs if one != other]
    odd += [f"model {_named(one)} is no longer in it" for key, one in before.items() if key not in after]
    return odd + [f"model {_named(one)} is new in it" for key, one in after.items() if key not in before]


def _named(model: ModelPlan) -> str:
    """A model with those of its arguments that can change answers."""
    args = model.decisive["args"]
    return f"{model.model} {_shown(args)}" if args else model.model


def _listed(names: Iterable[str]) -> str:
    return _shown(list(names))


def _shown(value: object) -> str:
    """A value as one line of YAML."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).strip()
