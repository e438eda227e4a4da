"""``evidence`` and ``evidence verify``: hand over what a run found, and check what one got."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtughost.cli.context import globals_of, write_json

app = typer.Typer(
    help="Make a bundle for a ticket, or verify one.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
_BAD = 5


@app.callback()
def make(  # noqa: PLR0913  # one argument per option is how typer works
    context: typer.Context,
    *,
    site: Annotated[str, typer.Option(help="Site whose stored run is handed over.")] = "",
    recipient: Annotated[
        str,
        typer.Option("--for", help="isp, gateway-provider, ap-vendor or management."),
    ] = "gateway-provider",
    run: Annotated[str, typer.Option(help="Run id; the newest that saw the site.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write the zip.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="SSH key that signs the manifest; unsigned without one.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="The page as PDF, too (extra pdf, or Chromium).")
    ] = False,
    looked_at: Annotated[
        list[str] | None,
        typer.Option(help="Digest of a suspicious value that you found harmless; repeatable."),
    ] = None,
) -> int:
    """Write one zip and one page from a stored run, redacted for the recipient."""
    if context.invoked_subcommand is not None:
        return 0
    from mtughost.app.evidence import EvidenceRequest, make_bundle  # noqa: PLC0415  # fast --help
    from mtughost.model.errors import UsageError  # noqa: PLC0415

    if not site:
        raise UsageError("name the site", todo="mtughost evidence --site NAME --for RECIPIENT")
    shared = globals_of(context)
    request = EvidenceRequest(
        site=site,
        recipient=recipient,
        run_id=run,
        out=out,
        key=key,
        looked_at=frozenset(looked_at or ()),
        pdf=pdf,
    )
    made = make_bundle(shared.open_project(), request)
    manifest = made.manifest
    replaced = ", ".join(f"{item.number} {item.kind}" for item in manifest.replaced)
    lines = [
        f"bundle: {made.path}",
        f"page: {made.page}",
        *([f"PDF: {made.paper}"] if made.paper else []),
        f"verdict: {manifest.verdict}; {', '.join(manifest.findings) or 'no finding'}",
        f"{len(manifest.members)} files; replaced or removed: {replaced or 'nothing'}",
        f"kept real: {', '.join(manifest.kept_real) or 'nothing'}",
        f"signed by {made.signed_by}" if made.signed_by else "not signed: give --key to sign it",
    ]
    lines += [f"missing: {gap}" for gap in manifest.gaps]
    for line in lines:
        shared.out.print(line, markup=False, soft_wrap=True)
    return 0


@app.command("verify")
def check(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The zip.")],
    *,
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "",
) -> int:
    """Check digests and signature, and diagnose the bundle's evidence again."""
    from dataclasses import asdict  # noqa: PLC0415

    from mtughost.app.evidence import verify_bundle  # noqa: PLC0415

    shared = globals_of(context)
    found = verify_bundle(shared.open_project(), bundle)
    if json_file:
        write_json(json_file, asdict(found))
    again = {
        True: "diagnosed again, the evidence gives the same verdict",
        False: "diagnosed again, the evidence gives ANOTHER verdict",
        None: "no raw evidence in it: the verdict cannot be checked",
    }[found.same_verdict]
    signed = f"signed by {found.signed_by}" if found.signed_by else "not signed"
    if json_file != "-":
        shared.out.print(
            f"whole: {len(found.manifest.members)} files match their digests; {signed}; {again}",
            markup=False,
            soft_wrap=True,
        )
    return _BAD if found.same_verdict is False else 0
