/* lwIP includes it, and uses nothing of it as it is configured. */
