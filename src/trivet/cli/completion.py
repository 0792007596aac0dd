"""`trivet completion`: the line that makes a shell complete commands, options and paths."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete `trivet` with the Tab key.

    \b
    bash:  trivet completion bash >> ~/.bashrc
    zsh:   trivet completion zsh >> ~/.zshrc
    fish:  trivet completion fish > ~/.config/fish/completions/trivet.fish
    """
    from click.shell_completion import get_completion_class

    from trivet.cli import main

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(main, {}, "trivet", "_TRIVET_COMPLETE").source())
