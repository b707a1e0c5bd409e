"""The inbox: the reviewers' pages. Server-rendered, whole without a script, live with it; nothing inline."""
