"""Run by the Python that has aws-sam-translator: templates (JSON, a list on standard input) without SAM.

Prints a list with each expanded, or the text of what is wrong with it.
"""

import json
import sys

from samtranslator.translator.transform import transform


class Policies:
    """The managed policies of an account, of which we use none."""

    def load(self):
        return {}


def expanded(template):
    for resource in template["Resources"].values():
        if "CodeUri" in resource.get("Properties", {}):
            name = resource["Properties"]["CodeUri"].rpartition("/")[2]
            resource["Properties"]["CodeUri"] = f"s3://zips/{name}"
    try:
        return transform(template, {}, Policies())
    except Exception as error:
        return str(error)


json.dump([expanded(template) for template in json.load(sys.stdin)], sys.stdout)
