/**
 * The same pages are served twice: by a validator on a loopback address, where a token of its
 * folder is shown and the ledger is read; and by a site's node below `/console`, where people sign
 * in with accounts.
 */
export const isSite = /^\/console(\/|$)/.test(window.location.pathname);

export const BASE = isSite ? "/console" : "/";
