"""The command `onnxgs-plugin`: build the plugin library, or say where its sources are."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from onnxgs_opt.errors import OptError
from onnxgs_opt.runtime.tensorrt.plugin_build import CAPABILITIES, PluginBuild, build_plugin, sources


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make the TensorRT plugin library of onnxgs::BilinearSample."""


@command.command("build")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default="libonnxgs_plugin.so", show_default=True, metavar="FILE"
)
@click.option("--tensorrt-root", type=click.Path(path_type=Path), metavar="DIR", help="Folder with include/NvInfer.h.")
@click.option("--nvcc", type=click.Path(path_type=Path), metavar="FILE", help="CUDA's compiler.")
@click.option(
    "--compute-capability",
    "capabilities",
    multiple=True,
    metavar="8.9",
    help=f"GPU to compile for; repeatable. Default: {', '.join(CAPABILITIES)}.",
)
@click.option("--no-copy", is_flag=True, help="A plugin that asks for no workspace; scattered coordinates are slower.")
def build(
    output: Path, tensorrt_root: Path | None, nvcc: Path | None, capabilities: tuple[str, ...], no_copy: bool
) -> None:
    """Compile the library with nvcc and TensorRT's headers; nothing of TensorRT is linked."""
    chosen = [c.replace(".", "") for c in capabilities] or list(CAPABILITIES)
    if not all(c.isdigit() for c in chosen):
        raise click.BadParameter("write it as 8.9", param_hint="--compute-capability")
    defines = ["ONNXGS_NO_COPY"] if no_copy else []
    click.echo(build_plugin(PluginBuild(output.absolute(), tensorrt_root, nvcc, chosen, defines)))


@command.command("sources")
def show_sources() -> None:
    """Print the folder of the sources: CMakeLists.txt is there."""
    click.echo(sources())


def main() -> int:
    """Run the command; errors are one line and a hint."""
    try:
        command.main(prog_name="onnxgs-plugin", standalone_mode=False)
    except OptError as error:
        for label, text in (("error", str(error)), ("hint", error.hint)):
            if text:
                click.echo(f"{label}: {text}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
