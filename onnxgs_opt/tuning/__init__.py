"""Choose a lowering for every site: forced, replayed, recorded or measured."""
