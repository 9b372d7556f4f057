// Before anything is drawn: the theme that was chosen last; else the system's, by prefers-color-scheme.
"use strict";

try {
  const theme = localStorage.getItem("evigraph-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // A frame without storage keeps the system's theme.
}
